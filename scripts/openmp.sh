# Sourced by the scripts that compute on CPUs: OpenMP's threads sleep while they wait for each other.
#
# By default they spin. On two cores with another process at work, a thread that spins takes the core that the thread it
# waits for needs. 150 updates of the demonstration's model, two threads: 24 s on idle cores either way; with one busy
# neighbor 78 s spinning and 39 s sleeping (two cores of an AMD EPYC virtual machine, torch 2.13, 2026-11-25).
[ "$0" != "${BASH_SOURCE[0]}" ] || { sed -n '1,${/^#/!q;s/^# \{0,1\}//p}' "$0"; exit; } # it is sourced, not run
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

# Sourced by scripts that take no arguments but --help, which prints the comment at the script's beginning.
[ "$0" != "${BASH_SOURCE[0]}" ] || { sed -n '1,${/^#/!q;s/^# \{0,1\}//p}' "$0"; exit; } # it is sourced, not run

case ${1-} in
  "") ;;
  -h | --help) sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$0" && exit ;;
  *) echo "$(basename "$0"): the only option is --help, but one is '$1'." >&2 && exit 2 ;;
esac

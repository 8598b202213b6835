"""The patches of fairseq's faults on current software: one file per fault, each applied only where the fault exists."""

from __future__ import annotations

from . import (
    adaptive_loss_backend,
    beam_in_training,
    broadcast_between_workers,
    checkpoint_saving,
    ddp_on_cpu,
    denoising_options,
    encoder_fastpath,
    encoder_weight_copies,
    gather_between_workers,
    hydra_warnings,
    last_batch,
    late_user_dir,
    layers_to_keep_option,
    missing_history,
    missing_user_dir,
    model_archives,
    mutable_defaults,
    nested_options,
    notices,
    numpy_aliases,
    option_evaluation,
    pretrained_bart_task,
    process_group_end,
    reading_ahead,
    repeated_ngrams,
    safe_loading,
    seeds_between_threads,
    spawned_worker_errors,
    unseeded_spans,
    user_dir_lookup,
)

PATCHES = (
    notices,
    mutable_defaults,  # before the others, which import fairseq
    user_dir_lookup,
    numpy_aliases,
    encoder_fastpath,
    ddp_on_cpu,
    adaptive_loss_backend,
    encoder_weight_copies,
    safe_loading,
    missing_history,
    model_archives,
    checkpoint_saving,
    broadcast_between_workers,
    gather_between_workers,
    process_group_end,
    reading_ahead,
    seeds_between_threads,
    unseeded_spans,
    repeated_ngrams,
    last_batch,
    pretrained_bart_task,
    denoising_options,
    beam_in_training,
    spawned_worker_errors,
    late_user_dir,
    missing_user_dir,
    option_evaluation,
    layers_to_keep_option,
    nested_options,
    hydra_warnings,
)

ACTIVE: dict[str, str] = {}
"""Names of the patches in place, with the reason for each."""


def apply_all() -> None:
    """Apply each patch whose fault exists here, and note it in `ACTIVE`."""
    for patch in PATCHES:
        reason = patch.needed()
        if reason is not None:
            patch.apply()
            ACTIVE[patch.__name__.rpartition(".")[2]] = reason

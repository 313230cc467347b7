"""`python -m bench.mutants [PART]...`: deliberate faults in central functions, each of which a named test must notice.

The tree is copied, the named tests pass there, then one row after another is put in place and its test run. `PART`: only
rows whose file, or test, contains it. Exits with 1 where a fault survives, a text is not in its file exactly once, or a
test fails without any fault. All rows take about half an hour on two cores; `tests/bench/test_mutants.py` keeps the list
from rotting.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "demo", "*.egg-info")
LONGEST_S = 900


@dataclass(frozen=True, slots=True)
class Mutant:
    """`fault` in the place of `text`, which stands once in `file`, must make the pytest node `test` fail."""

    file: str
    text: str
    fault: str
    test: str


# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    # Pixels.
    Mutant("pqa/pixels/codecs.py", "image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image",
           "image", "tests/pixels/test_source.py::test_eight_orientations_are_one_picture"),
    Mutant("pqa/pixels/codecs.py", 'if "srgb" not in ImageCms', 'if "rgb" not in ImageCms',
           "tests/pixels/test_source.py::test_display_p3_becomes_srgb"),
    Mutant("pqa/pixels/codecs.py", ' and self._transform("RGB") is None', "",
           "tests/pixels/test_source.py::test_display_p3_becomes_srgb"),
    Mutant("pqa/pixels/codecs.py", "+ 128) // 257", ") // 257",
           "tests/pixels/test_source.py::test_sixteen_bits_are_scaled_not_cut"),
    Mutant("pqa/pixels/codecs.py", "+ BACKGROUND * (255 - alpha)", "+ 0 * (255 - alpha)",
           "tests/pixels/test_source.py::test_modes"),
    Mutant("pqa/pixels/source.py", "turned = info.orientation >= 5", "turned = info.orientation >= 7",
           "tests/pixels/test_source.py::test_eight_orientations_are_one_picture"),
    Mutant("pqa/pixels/source.py", "if turned in codecs.FLIPPED_Y else 0.0", "if turned in codecs.FLIPPED_X else 0.0",
           "tests/pixels/test_source.py::test_a_turned_jpeg_is_not_shifted"),
    Mutant("pqa/pixels/source.py", "scale = _scale(short / bounded(max(short_side, WORKING_SIDE), self.size))",
           "scale = _scale(2 * short / short_side)", "tests/pixels/test_source.py::test_a_turned_jpeg_is_not_shifted"),
    Mutant("pqa/pixels/views.py", "face.side / min(source.size)", "face.side / max(source.size)",
           "tests/pixels/test_views.py::test_face_geometry_is_over_the_shorter_side"),
    Mutant("pqa/pixels/views.py", "wide = high = max(wide, high)", "wide = high = min(wide, high)",
           "tests/pixels/test_views.py::test_square_crop_by_hand"),
    Mutant("pqa/pixels/views.py", "max((x1 + x2 - wide) / 2, 0.0), width - wide)",
           "max((x1 + x2 - wide) / 2, 0.0), width)", "tests/pixels/test_views.py::test_crops_lie_inside_the_picture"),
    Mutant("pqa/pixels/views.py", "elif face is not None:", "elif False:",
           "tests/pixels/test_views.py::test_the_global_window_follows_the_face"),
    Mutant("pqa/pixels/views.py", "np.moveaxis(rgb.astype", "np.moveaxis(rgb[..., ::-1].astype",
           "tests/pixels/test_views.py::test_normalise_by_hand"),
    Mutant("pqa/pixels/fragments.py", "rows, columns = lattice(count", "columns, rows = lattice(count",
           "tests/pixels/test_fragments.py::test_dense_windows_reach_all_edges"),
    Mutant("pqa/pixels/measures.py", "HEAD = 1.25", "HEAD = 1.0",
           "tests/pixels/test_measures.py::test_the_head_is_larger_than_its_face"),
    Mutant("pqa/pixels/measures.py", "eye_blur = min((blur for", "eye_blur = max((blur for",
           "tests/pixels/test_measures.py::test_the_sharper_eye_counts"),
    Mutant("pqa/pixels/measures.py", "key=lambda item: -item[0]", "key=lambda item: item[0]",
           "tests/pixels/test_measures.py::test_reasons_come_worst_first_with_value_threshold_and_unit"),
    Mutant("pqa/pixels/measures.py", "severity > 0:", "severity >= 0:",
           "tests/pixels/test_measures.py::test_a_value_on_the_threshold_is_no_fault"),
    # Faces.
    Mutant("pqa/faces/attempts.py", "halves[:, ::-1]", "halves[:, ::1]",
           "tests/faces/test_look.py::test_boxes_and_landmarks_lead_back_to_the_picture"),
    Mutant("pqa/faces/attempts.py", "np.array([rgb.shape[1], rgb.shape[0]])", "np.array([rgb.shape[0], rgb.shape[1]])",
           "tests/faces/test_look.py::test_a_reduced_look_is_scaled_back"),
    Mutant("pqa/faces/suppression.py", "areas[best] + areas[rest] - common", "areas[best] + areas[rest]",
           "tests/faces/test_suppression.py::test_a_box_goes_when_it_overlaps_a_better_one_beyond_the_limit"),
    Mutant("pqa/faces/suppression.py", "np.minimum(areas[best], areas[rest]) if inclusive",
           "np.maximum(areas[best], areas[rest]) if inclusive",
           "tests/faces/test_suppression.py::test_inclusive_compares_with_the_smaller_box_and_counts_edges"),
    Mutant("pqa/faces/cascade.py", "self._refine(sampler, boxes, thresholds[1])", "self._refine(sampler, boxes, 0.0)",
           "tests/faces/test_cascade.py::test_agrees_with_facenet_pytorch"),
    Mutant("pqa/faces/mtcnn.py", "(face.confidence < sure, -_area(face))", "(face.confidence < sure, _area(face))",
           "tests/faces/test_detectors.py::test_several_faces_largest_first"),
    Mutant("pqa/faces/mtcnn.py", "face.confidence >= COMPANION]", "face.confidence >= 2.0]",
           "tests/faces/test_detectors.py::test_finds_the_portrait_with_landmarks_in_their_places"),
    Mutant("pqa/faces/mtcnn.py", "sum(votes.values()) / len(looks)", "sum(votes.values()) / len(votes)",
           "tests/faces/test_agreement.py::test_evidence_is_the_mean_over_all_looks_taken"),
    Mutant("pqa/faces/mtcnn.py", "votes.setdefault(name, face.confidence)", "votes[name] = face.confidence",
           "tests/faces/test_agreement.py::test_a_look_that_saw_a_place_twice_has_one_vote_its_surest"),
    Mutant("pqa/faces/dsfd.py", "if probability >= level", "if probability >= 0.0",
           "tests/faces/test_light_dsfd.py::test_the_first_level_that_a_face_reaches_decides"),
    # From a picture to its score.
    Mutant("pqa/runtime/predictor.py", "np.float32(self.spec.calibration.std_scale)", "np.float32(1.0)",
           "tests/runtime/test_calibration.py::test_std_scale_multiplies_every_spread_and_no_score"),
    Mutant("pqa/runtime/predictor.py", "if name in outputs and not np.isfinite(outputs[name]).all():",
           "if name in outputs and np.isnan(outputs[name]).any():",
           "tests/runtime/test_finite.py::test_values_that_are_not_finite_are_a_model_error"),
    Mutant("pqa/runtime/predictor.py", 'row["distance"] > limit', 'row["distance"] < limit',
           "tests/runtime/test_unlike.py::test_a_picture_beyond_the_limit_is_flagged"),
    Mutant("pqa/runtime/predictor.py", "for face in standing[1 : self._faces]", "for face in standing[: self._faces - 1]",
           "tests/test_shipped_model.py::test_further_faces_have_a_quality_and_change_no_score"),
    Mutant("pqa/runtime/predictor.py", "elif faces[0].side < SMALL_FACE:", "elif faces[-1].side < SMALL_FACE:",
           "tests/runtime/test_flags.py::test_flags_of_faces"),
    Mutant("pqa/runtime/assess.py", "np.sort(np.stack(rows), axis=0).mean(axis=0, dtype=np.float64)",
           "np.stack(rows).mean(axis=0, dtype=np.float32)",
           "tests/test_shipped_model.py::test_order_and_company_change_no_score"),
    Mutant("pqa/runtime/assess.py", "members = sorted(members, key=lambda member: member[1].facts.sha256)",
           "members = list(members)", "tests/runtime/test_joint.py::test_the_order_of_the_set_changes_no_joint_score"),
    Mutant("pqa/runtime/joint.py", "if not np.isfinite(found).all():", "if np.isnan(found).any():",
           "tests/runtime/test_joint.py::test_a_head_that_fails_is_a_model_error"),
    # Ranking.
    Mutant("pqa/ranking.py", "if beats > TIE_PROBABILITY:", "if beats > 0.5:",
           "tests/test_ranking.py::test_tie_groups_by_hand"),
    Mutant("pqa/ranking.py", "            first = row\n", "            first = row - 1\n",
           "tests/test_ranking.py::test_tie_groups_by_hand"),
    Mutant("pqa/ranking.py", "np.array(known) / slope", "np.array(known) * slope",
           "tests/test_ranking.py::test_win_probability_by_hand"),
    Mutant("pqa/ranking.py", "slope = calibration.scene_slope", "slope = calibration.win_slope",
           "tests/test_ranking.py::test_shots_of_one_scene_have_a_slope_of_their_own"),
    Mutant("pqa/ranking.py", "np.median(values / 2)", "np.mean(values / 2)",
           "tests/test_ranking.py::test_relative_quality_by_hand"),
    Mutant("pqa/ranking.py", "(-_value(row, order_by), row.id)", "-_value(row, order_by)",
           "tests/test_ranking.py::test_equal_scores_are_ordered_by_id"),
    # Evaluation.
    Mutant("pqa/evaluation/metrics.py", "{m: float(np.median(", "{m: float(np.mean(",
           "tests/evaluation/test_metrics.py::test_challenge_score_is_the_median_of_means"),
    Mutant("pqa/evaluation/metrics.py", "np.count_nonzero(sign_b)", "np.count_nonzero(sign_a)",
           "tests/evaluation/test_metrics.py::test_agrees_with_scipy_on_tied_data"),
    Mutant("pqa/evaluation/metrics.py", "* (1 if fitted.increasing else -1)", "* 1",
           "tests/evaluation/test_metrics.py::test_a_fit_never_turns_a_wrong_way_predictor_into_a_good_one"),
    Mutant("pqa/evaluation/metrics.py", '"mae": Metric(0.0, inf, higher_is_better=False)',
           '"mae": Metric(0.0, inf, higher_is_better=True)',
           "tests/evaluation/test_metrics.py::test_worse_predictions_lie_further_from_the_better_end"),
    Mutant("pqa/evaluation/significance.py", "sign = 1 if METRICS[metric].higher_is_better else -1", "sign = 1",
           "tests/evaluation/test_significance.py::test_lower_error_is_a_win"),
    Mutant("pqa/evaluation/significance.py", "* (m - np.arange(m))", "* m",
           "tests/evaluation/test_significance.py::test_corrections_by_hand"),
    Mutant("pqa/evaluation/decisions.py", "np.hypot(spread[chosen.first], spread[chosen.second])",
           "spread[chosen.first] + spread[chosen.second]",
           "tests/evaluation/test_decisions.py::test_win_probability_by_hand"),
    Mutant("pqa/evaluation/decisions.py", "right[sure == 0.5] = 0.5", "pass",
           "tests/evaluation/test_decisions.py::test_undecided_pairs_are_right_half_the_time"),
    Mutant("pqa/evaluation/resampling.py", "- groups / 2 -", "-",
           "tests/evaluation/test_bootstrap.py::test_counts_give_the_metrics_of_the_written_out_resample"),
    # Judging.
    Mutant("pqa/judging/scaling.py", "won = judgements.winner == low", "won = judgements.winner == high",
           "tests/judging/test_scaling.py::test_one_jod_is_75_percent"),
    Mutant("pqa/judging/links.py", "Link(1 / float(special.ndtri(0.75))", "Link(1 / float(special.ndtri(0.76))",
           "tests/judging/test_scaling.py::test_one_jod_is_75_percent"),
    Mutant("pqa/judging/observers.py", "first - own_first, second - own_second", "first, second",
           "tests/judging/test_observers.py::test_an_observer_is_measured_against_the_others_alone"),
    Mutant("pqa/judging/judgements.py", "if row.left else (row.second, row.first)",
           "if row.left else (row.first, row.second)",
           "tests/cli/test_scale.py::test_reads_pwcmp_tables_in_both_forms"),
    Mutant("pqa/judging/sampling.py", "key=lambda edge: -gain[edge]", "key=lambda edge: gain[edge]",
           "tests/judging/test_observers.py::test_the_most_informative_pair_comes_first"),
    # Data.
    Mutant("pqa/data/labels.py", "if side[each] == part.lower()]",
           "if any(part.lower() == side[k] for k in side if k in each)]",
           "tests/data/test_labels.py::test_scene_split_joins_on_the_column_not_on_a_substring"),
    Mutant("pqa/data/parts.py", "min(name, first.get(group, name))", "name",
           "tests/data/test_parts.py::test_a_group_follows_its_first_name_in_whatever_order_it_comes"),
    Mutant("pqa/data/parts.py", "[_part(first[group]) for group in groups]", "[_part(name) for name in names]",
           "tests/data/test_parts.py::test_a_group_stays_on_one_side"),
    Mutant("pqa/data/duplicates.py", "connected_components(graph, directed=False)[1]", "np.arange(len(table))",
           "tests/data/test_parts.py::test_versions_of_one_picture_are_one_group"),
    Mutant("pqa/data/piq23.py", 'split, "test").image}', 'split, "train").image}',
           "tests/data/test_piq23.py::test_the_scene_split_is_official_and_joined_on_its_column"),
    Mutant("pqa/data/piq23.py", "keys = table.scene if split", "keys = devices if split",
           "tests/data/test_piq23.py::test_the_scene_split_is_official_and_joined_on_its_column"),
    # Training.
    Mutant("training/finish.py", 'if report := data.part("report"):', 'if report := data.part("choose"):',
           "tests/training/test_command.py::test_a_run_is_reported_on_the_report_part"),
    Mutant("training/gather.py", "at = (place[row.scene] - number) % folds", "at = (len(row.image) - number) % folds",
           "tests/training/test_command.py::test_folds_divide_the_scenes_and_leave_the_report_part_alone"),
    Mutant("training/average.py", "(1 + self._count) / (10 + self._count)", "1.0",
           "tests/training/test_schedules.py::test_the_exponential_average_is_the_plain_recursion"),
    Mutant("training/average.py", "self._take(model, 1.0 / self._count)", "self._take(model, 0.5)",
           "tests/training/test_schedules.py::test_the_average_of_epochs_is_their_mean"),
    Mutant("training/calibrate.py", "np.hypot(std[i], std[j]))[used]", "(std[i] + std[j]))[used]",
           "tests/training/test_default.py::test_calibration_makes_spreads_honest"),
    Mutant("training/task.py", "return self._average.weights or weights_of(self.model)",
           "return weights_of(self.model)", "tests/training/test_schedules.py::test_what_is_judged_is_what_is_saved"),
    Mutant("training/task.py", 'better = figures["score"] > self.best_score',
           'better = figures["score"] < self.best_score',
           "tests/training/test_schedules.py::test_what_is_judged_is_what_is_saved"),
    Mutant("pqa/nn/models/pqe.py", "score.unflatten(0, (-1, k)).mean(dim=1)", "score.unflatten(0, (-1, k)).amax(dim=1)",
           "tests/nn/test_golden.py::test_outputs_stay_as_they_are_kept"),
    Mutant("pqa/nn/losses/fidelity.py", "return 0.5 + 0.5 * torch.sign(difference)",
           "return 0.5 - 0.5 * torch.sign(difference)", "tests/nn/test_losses_ranking.py::test_pair_probability"),
    Mutant("pqa/nn/losses/bradley_terry.py", "cost = -F.logsigmoid(better", "cost = F.logsigmoid(better",
           "tests/nn/test_losses_ranking.py::test_bradley_terry_against_a_plain_double_loop"),
    # Export.
    Mutant("export/proof.py", "row[...] = make_view(source, face, view)", "row[...] = make_view(source, None, view)",
           "tests/export/test_export.py::test_a_folder_of_portraits_is_cut_as_it_will_be_served"),
    Mutant("export/onnx.py", "if not difference <= max(", "if not 0 * difference <= max(",
           "tests/export/test_export.py::test_an_export_that_differs_is_not_written"),
    # Service.
    Mutant("service/limits.py", "received > self.limit:", "received > 2 * self.limit:",
           "tests/service/test_middleware.py::test_a_chunked_body_is_counted_while_it_arrives"),
    Mutant("service/limits.py", "int(announced) > self.limit:", "int(announced) >= self.limit:",
           "tests/service/test_middleware.py::test_a_body_of_the_limit_passes_and_one_byte_more_does_not"),
    Mutant("service/limits.py", "self.used += change", "self.used += max(change, 0)",
           "tests/service/test_uploads.py::test_what_may_come_takes_no_room_and_what_came_is_given_back"),
    Mutant("service/problems.py", '"The service is full", retry=True', '"The service is full"',
           "tests/service/test_middleware.py::test_busy_and_unavailable_say_when_to_come_back"),
    Mutant("service/problems.py", '"too-large": Row(413', '"too-large": Row(400',
           "tests/service/test_rank.py::test_a_request_over_a_limit_is_413"),
    Mutant("service/pipeline.py", "self._cache.put((job.predictor.model.info.sha256, prediction",
           'self._cache.put(("", prediction',
           "tests/service/test_pipeline.py::test_known_pictures_are_not_run_again_and_models_do_not_share"),
    Mutant("service/pipeline.py", "hashlib.sha256(data).hexdigest())", "str(len(data)))",
           "tests/service/test_pipeline.py::test_known_pictures_are_not_run_again_and_models_do_not_share"),
    Mutant("service/cache.py", "            self._rows.move_to_end(key)\n            return", "            return",
           "tests/service/test_pipeline.py::test_the_cache_drops_what_was_used_longest_ago"),
    Mutant("service/intake.py", "asyncio.wait_for(asyncio.wrap_future(future), seconds)",
           "asyncio.wait_for(asyncio.wrap_future(future), None)",
           "tests/service/test_health.py::test_a_picture_past_its_deadline_is_timeout"),
    Mutant("service/rank.py", "if len(unscored) < len(items):", "if True:",
           "tests/service/test_rank.py::test_all_broken_is_a_problem_that_lists_them"),
    # Command line.
    Mutant("pqa/cli/score.py", "return EXIT_PARTIAL if unscored", "return EXIT_OK if unscored",
           "tests/cli/test_rank.py::test_no_bad_picture_costs_another_its_result"),
    Mutant("pqa/cli/main.py", "EXIT_PARTIAL = 3", "EXIT_PARTIAL = 1",
           "tests/cli/test_rank.py::test_no_bad_picture_costs_another_its_result"),
    Mutant("pqa/cli/main.py", "        return _fail(str(error))\n    except BrokenPipeError:",
           "        _fail(str(error))\n        return EXIT_OK\n    except BrokenPipeError:",
           "tests/cli/test_main.py::test_known_errors_are_one_line"),
    Mutant("pqa/cli/outputs.py", '{"score": row.score, "score_std": row.score_std}',
           '{"score": row.score_std, "score_std": row.score}',
           "tests/cli/test_outputs.py::test_csv_reads_back_to_the_same_numbers"),
    Mutant("pqa/cli/outputs.py", "all(_free(source, target)", "any(_free(source, target)",
           "tests/cli/test_outputs.py::test_nothing_is_overwritten_and_a_second_run_adds_nothing"),
    Mutant("pqa/cli/main.py", "if own.resolve() not in (", "if own.resolve() in (",
           "tests/cli/test_main.py::test_a_foreign_package_on_pythons_path_is_named_and_not_run"),
)
# fmt: on


def passes(tree: Path, *tests: str) -> bool | None:
    """Whether the tests pass in the tree; None where pytest could not run them, or not in time."""
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(argv, cwd=tree, env=env, capture_output=True, timeout=LONGEST_S * len(tests), check=False)
    except subprocess.TimeoutExpired:
        return None
    return {0: True, 1: False}.get(done.returncode)


def tried(tree: Path, row: Mutant) -> str:
    """What became of one fault: caught, survived, or why that cannot be told. Leaves the tree as it was."""
    path = tree / row.file
    original = path.read_text()
    if original.count(row.text) != 1:
        return f"the text stands there {original.count(row.text)} times"
    path.write_text(original.replace(row.text, row.fault))
    try:
        return {True: "survived", False: "caught", None: "the test did not run"}[passes(tree, row.test)]
    finally:
        path.write_text(original)


def report(tree: Path, rows: Sequence[Mutant]) -> int:
    """Try the rows in a copy of the tree and print what became of each; the number that were not caught."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(tree, Path(folder) / "tree", ignore=LEFT_OUT))
        if not passes(copy, *dict.fromkeys(row.test for row in rows)):
            print("the tests do not pass without any fault")
            return len(rows)
        fates = []
        for row in rows:
            fates.append(tried(copy, row))
            print(f"{fates[-1]:9} {row.file}: {row.text.strip()!r} -> {row.fault.strip()!r} ({row.test})", flush=True)
    missed = sum(fate != "caught" for fate in fates)
    print(f"{len(fates) - missed} of {len(fates)} faults caught")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parts = parser.parse_args().parts
    rows = [row for row in MUTANTS if not parts or any(part in f"{row.file} {row.test}" for part in parts)]
    sys.exit(1 if not rows or report(ROOT, rows) else 0)


if __name__ == "__main__":
    main()

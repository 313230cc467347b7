"""The report as one page that needs nothing else: style, charts and thumbnails are inside, no script, no address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pqa.evaluation.mappings import fit
from pqa.evaluation.metrics import METRICS, by_scene
from pqa.evaluation.significance import Comparison, wins
from pqa.report import svg
from pqa.report.markup import Raw, chance, details, interval, keys, number, section, table
from pqa.report.outliers import outliers
from pqa.report.study import Model, Study

__all__ = ["Curve", "html_report"]

NAMES = {"srcc": "SRCC", "plcc": "PLCC", "krcc": "KRCC", "mae": "MAE", "rmse": "RMSE", "score": "Score"}
MOST_MODELS = 6  # series that colours tell apart


Curve = tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64]]


def html_report(study: Study, *, images: Path | Mapping[str, Path] | None = None, curves: Sequence[Curve] = ()) -> str:
    """The page of a study; `images` is the folder of the pictures, or their files by name, for thumbnails of the outliers.

    `curves` of a training: name, epochs (E,), values (E,).
    """
    names = [model.name for model in study.models]
    parts = [_head(study), _medians(study), _scenes(study), _curves(curves)]
    if len(names) > 1:
        parts.append(_comparisons(study))
    parts += [_scatters(study, k, model) for k, model in enumerate(study.models)]
    parts += [_pairs(study), _devices(study), _slices(study), outliers(study, images)]
    style = files("pqa.report").joinpath("style.css").read_text(encoding="utf-8")
    title = escape(f"{study.labels.source.name}: {', '.join(names)}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _head(study: Study) -> str:
    settings, scenes = study.settings, len(set(study.labels.scene))
    title = f"{', '.join(model.name for model in study.models)} on {study.labels.source.name}"
    facts = (
        f"{len(study.labels)} of {study.total} labelled pictures ({study.split}), {scenes} scene{'s' * (scenes != 1)}. "
        f"SRCC and KRCC on raw scores; PLCC, MAE and RMSE after mapping: {settings.mapping}. "
        f"{settings.confidence:.0%} intervals by {settings.resamples} bootstrap resamples over {settings.resample}."
    )
    notices = "".join(f"<li>{escape(warning.message)}</li>" for warning in study.warnings)
    listed = section(
        "Notices", "What was left out, counted otherwise, or needs care.", f'<ul class="notices">{notices}</ul>'
    )
    return f'<h1>{escape(title)}</h1><p class="soft">{escape(facts)}</p>{listed if notices else ""}'


def _medians(study: Study) -> str:
    rows = [[model.name, *(interval(model.intervals[metric]) for metric in METRICS)] for model in study.models]
    rows += [
        [f"label noise of {model.name}", *(f"± {model.noise[metric].std:.3f}" for metric in METRICS)]
        for model in study.models
        if model.noise
    ]
    if study.ceilings:
        rows.append(["noise ceiling", *(number(_ceiling(study, metric)) for metric in METRICS)])
    text = (
        "Median over scenes. Score is the median over scenes of the mean of SRCC, PLCC and KRCC, not the mean of their "
        "medians. Label noise: s.d. of the figure if the same pictures were rated again. The ceiling is what a predictor "
        "that knows the true ratings would reach on these noisy ones."
    )
    main = [
        [m.name, number(m.main.main, ".4f"), number(m.main.srcc, ".4f"), number(m.main.plcc, ".4f"), m.main.fit.name]
        for m in study.models
        if m.main
    ]
    extra = "<h3>Main score of NTIRE 2021, all pictures at once</h3>" + table(
        ["model", "SRCC + PLCC", "SRCC", "PLCC", "mapping"], main
    )
    return section("Agreement with ratings", text, table(["model", *NAMES.values()], rows), extra if main else "")


def _ceiling(study: Study, metric: str) -> float:
    return float(np.median([getattr(each, metric) for each in study.ceilings]))


def _scenes(study: Study) -> str:
    shown = study.models[:MOST_MODELS]
    marks = {each.scene: each.score for each in study.ceilings}
    chart, rows = [], []
    for k, scene in enumerate(study.models[0].replicates.evaluation.scenes):
        found = [(model.scene_intervals[k]["score"], n) for n, model in enumerate(shown)]
        chart.append((scene.scene, [svg.Dot(i.value, i.low, i.high, n) for i, n in found], marks.get(scene.scene)))
        for model in study.models:
            own = model.replicates.evaluation.scenes[k]
            values = [interval(model.scene_intervals[k][metric]) for metric in METRICS]
            rows.append(
                [f"{own.scene} · {model.name}", str(own.n), *values, number(marks.get(own.scene)), own.fit.name]
            )
    header = ["scene · model", "pictures", *NAMES.values(), "ceiling of score", "mapping"]
    legend = keys([model.name for model in shown], *([("dash", "noise ceiling")] if marks else []))
    text = "Mean of SRCC, PLCC and KRCC in each scene, with BCa intervals over its pictures."
    return section(
        "Scenes", text, legend, svg.dots(chart, label="score by scene"), details("all figures", table(header, rows))
    )


def _comparisons(study: Study) -> str:
    names = [model.name for model in study.models]
    matrix = [
        [name, *(Raw(f'<span class="{verdict}">{verdict}</span>') if verdict else Raw("·") for verdict in row)]
        for name, row in zip(names, wins(study.comparisons, names), strict=True)
    ]
    pairs = [
        [
            f"{c.first} − {c.second}",
            interval(c.difference),
            chance(c.p),
            chance(c.adjusted),
            c.verdict,
            _won(c),
        ]
        for c in study.comparisons
    ]
    tests = [
        [f"{t.first} − {t.second}", t.test.replace("_", " "), chance(t.p), chance(t.adjusted), t.verdict]
        for t in study.tests
    ]
    correction = study.settings.correction
    header = [
        "pair",
        f"difference of {study.settings.metric}",
        "p",
        f"p ({correction})",
        "verdict",
        "scenes won : lost",
    ]
    text = (
        "Row against column. p by swapping the two models scene by scene; the interval by resampling scenes for both at "
        "once; with one scene, both by resampling its pictures. Scenes won and lost: PLCC by Fisher's z, corrected over the "
        "scenes. P.1401 takes the models as independent, which is cautious here."
    )
    p1401 = "<h3>ITU-T P.1401 on the errors of all pictures</h3>" + table(
        ["pair", "test", "p", f"p ({correction})", "verdict"], tests
    )
    return section("Comparison", text, table(["", *names], matrix), table(header, pairs), p1401 if tests else "")


def _won(comparison: Comparison) -> str:
    return f"{comparison.scenes_won} : {comparison.scenes_lost}"


def _curves(curves: Sequence[Curve]) -> str:
    charts = [svg.scatter(x, y, title=name, curves=[("flat", x, y)], size=(250, 160)) for name, x, y in curves]
    text = "Loss terms on the training part and figures on the part that chose the epoch (up) over epochs (across)."
    return section("Training", text, f'<div class="grid-of">{"".join(charts)}</div>') if charts else ""


def _scatters(study: Study, series: int, model: Model) -> str:
    x, y = model.score, study.labels.value
    limits = svg.padded(x), svg.padded(y)
    charts = []
    for scene, index in by_scene(study.labels.scene, x.size).items():
        grid = np.linspace(x[index].min(), x[index].max(), 40)
        fits = [fit(name, x[index], y[index]) for name in ("logistic4", "cubic")]
        curves = [(found.name, grid, found(grid)) for found in fits if found.name != "raw"]
        charts.append(svg.scatter(x[index], y[index], title=scene, series=series, curves=curves, limits=limits))
    legend = keys([], ("flat", "four-parameter logistic"), ("dash", "third-order polynomial, held monotonic"))
    text = "Rating (up) against score (across), one chart a scene, all on the same axes."
    return section(f"Scatter: {model.name}", text, legend, f'<div class="grid-of">{"".join(charts)}</div>')


def _pairs(study: Study) -> str:
    rows, lines = [], []
    for k, model in enumerate(study.models):
        pairs, regret = model.pairs, model.regret
        rows.append([model.name, number(pairs.accuracy), f"{pairs.decided} of {pairs.judged}"])
        rows[-1] += [number(regret.mean), number(regret.median), f"{regret.hits:.0%}"]
        for found in model.calibrations:
            if found.kind == "within":
                lines.append((k, found.predicted, found.observed, found.counts))
    judged = [
        (f"{m.name}, {c.kind} scenes", number(c.ece), number(c.brier), number(c.log_loss), str(c.pairs), _spread(m))
        for m in study.models
        for c in m.calibrations
    ]
    text = (
        "Order of the pairs whose ratings differ significantly (equal scores count half), and what picking the top-scored "
        "picture of a scene costs against the best-rated one, in rating units."
    )
    header = ["model", "pairs in order", "decided pairs", "regret, mean", "regret, median", "best picked"]
    chart = "<h3>Win probabilities inside scenes</h3>" + keys(
        [m.name for m in study.models], ("dash", "perfectly calibrated")
    )
    judged_table = table(["model", "ECE", "Brier", "log loss", "pairs", "s.d. of scores"], judged)
    drawn = svg.reliability(lines, label="reliability of win probabilities")
    return section("Pairs and choices", text, table(header, rows), *([chart, drawn, judged_table] if lines else []))


def _spread(model: Model) -> str:
    return "its own" if model.spread is None else f"{model.spread:.3g}, fitted on these pairs"


def _devices(study: Study) -> str:
    parts = []
    for k, model in enumerate(study.models):
        found = model.devices
        if not found or not found.rows:
            continue
        x, y = (np.array([getattr(row, side) for row in found.rows]) for side in ("score", "label"))
        half = 1.96 * np.array([row.label_error for row in found.rows])
        names = [f"{row.device}: {row.n} pictures, {row.scenes} scenes" for row in found.rows]
        figures = f"SRCC {number(found.srcc)}, PLCC {number(found.plcc)}, KRCC {number(found.krcc)}"
        left = f", {len(found.left_out)} left out" if found.left_out else ""
        note = f"{model.name}: {figures} over {len(x)} devices{left}"
        few = (
            f"<p>Left out with fewer than three pictures: {escape(', '.join(found.left_out))}.</p>"
            if found.left_out
            else ""
        )
        limits = svg.padded(x), svg.padded(y - np.nan_to_num(half), y + np.nan_to_num(half))
        chart = svg.scatter(
            x,
            y,
            title="mean rating against mean score",
            series=k,
            size=(520, 360),
            whiskers=half,
            names=names,
            limits=limits,
        )
        rows = [
            [r.device, str(r.n), str(r.scenes), number(r.score), number(r.label), number(r.label_error)]
            for r in found.rows
        ]
        header = ["device", "pictures", "scenes", "score", "rating", "its standard error"]
        parts.append(f"<h3>{escape(note)}</h3>{chart}{details('all devices', few + table(header, rows))}")
    text = (
        "Means over the pictures of a device, each picture less the mean of its scene; bars are ± 1.96 standard errors."
    )
    return section("Devices", text, *parts) if parts else ""


def _slices(study: Study) -> str:
    rows = [
        [
            f"{s.column} = {s.value} · {model.name}",
            str(s.n),
            str(s.scenes),
            *(number(getattr(s, m)) for m in METRICS if m != "rmse"),
            number(s.bias, "+.3f"),
        ]
        for model in study.models
        for s in model.slices
    ]
    text = (
        "The protocol on parts of the data; scenes with fewer than five pictures of a part are left out of its figures. Bias: "
        "mean error after scores were brought to their scene's mean and s.d. of ratings; above zero the scores favour the part."
    )
    header = [
        "part · model",
        "pictures",
        "scenes",
        *(name for metric, name in NAMES.items() if metric != "rmse"),
        "bias",
    ]
    return section("Slices", text, table(header, rows)) if rows else ""

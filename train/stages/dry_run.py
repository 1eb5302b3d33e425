"""What would stop a run, or a stage that comes before it, told before any of them begins.

Each is built, filled and opened as it will be, with what the stages before it will make in place of
the files that are not there yet: a mistake that is told after hours of training costs these hours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from infer.system.errors import ClipDuetError
from train.checkpoints.checkpoint import load_file, set_weights
from train.checkpoints.pretrained import load_pretrained, load_weights
from train.checkpoints.teachers import load_networks, network_weights
from train.config.errors import ConfigError, Location, Mistake
from train.config.load import Config
from train.config.run_folder import LATEST
from train.config.schema.common import Split
from train.data.dataset import ClipDataset
from train.data.lists import Sample
from train.data.splits import training_datasets
from train.distill.recognizers import Recognizer
from train.distributed.team import Team
from train.engine.probe import probe_clips
from train.engine.run import built_networks
from train.engine.stage_progress import Cost
from train.engine.start import open_run
from train.stages.pseudo_labels import clips_to_label, dataset_to_label, labeller
from train.stages.stage import Stage
from train.stages.step_times import cost_of_labelling, cost_of_training

T = TypeVar("T")


@dataclass
class _Made:
    """What stages will have made, by the files that will hold it; None: it cannot be known."""

    trust: bool = False
    weights: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    lists: dict[str, Sequence[Sample] | None] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    """The configs that train the weights."""
    costs: dict[str, Callable[[], Cost | None]] = field(default_factory=dict)
    """What times the stages, by their files, and the run, by ""."""

    def read(self, path: Path) -> Any:
        """What a file of weights will hold."""
        made = self.weights.get(str(path))
        return load_file(path, trust=self.trust) if made is None else made

    @property
    def known(self) -> bool:
        """Whether all networks that will be trained could be built."""
        return None not in self.weights.values()


def dry_run(stages: Sequence[Stage], cfg: Config, *, team: Team) -> list[Cost | None]:
    """Look for everything that would stop the stages or the run, if there are stages.

    Returns:
        What each stage and, last, the run will take; None where it is not known.

    Raises:
        ClipDuetError: all mistakes, those of each config in one block: layers, files and what they
            hold, lists, names of classes, steps of an epoch, runs that their folders hold.
    """
    if not stages:
        return [None]  # The run tells it at once.
    made, found = _Made(cfg.trust), defaultdict[str, list[Mistake]](list)
    for stage in stages:
        if stage.labelling is not None:
            found[stage.owner.source] += _labels(stage, made)
        else:
            found[stage.cfg.source] += _starts(stage.cfg, made, team, target=stage.target)
    found[cfg.source] += _starts(cfg, made, team)
    errors = [ConfigError(s, list(dict.fromkeys(told))) for s, told in found.items() if told]
    if errors:
        raise ClipDuetError("\n".join(map(str, errors)))
    targets = [str(stage.target) for stage in stages]
    return [made.costs[name]() if name in made.costs else None for name in (*targets, "")]


def _tried(act: Callable[[], T], mistakes: list[Mistake], where: Location = ()) -> T | None:
    """What `act` returns; None where it raises, and `mistakes` then has what."""
    try:
        return act()
    except ConfigError as error:
        mistakes += error.mistakes
    except ClipDuetError as error:
        mistakes.append(Mistake(where, str(error).replace("\n", "\n    ")))
    return None


def _starts(cfg: Config, made: _Made, team: Team, *, target: Path | None = None) -> list[Mistake]:
    """Start a training; `target` will hold its best weights."""
    mistakes: list[Mistake] = []
    networks = _tried(lambda: built_networks(cfg), mistakes)
    _tried(lambda: cfg.class_names, mistakes)
    if target is not None:
        made.configs[str(target)] = cfg.source
        made.weights[str(target)] = None if networks is None else _weights(networks[0])
    # A run that has begun needs no files, and compares its clips, for which others may stand here.
    begun = (Path(cfg.output_dir) / LATEST).exists()
    if networks is not None and made.known and not begun:
        mistakes += _fills(cfg, networks[0], made)
    to_come = _lists_to_come(cfg, made)
    if None in to_come.values():
        return mistakes
    given = {split: samples for split, samples in to_come.items() if samples is not None}
    datasets = _tried(lambda: training_datasets(cfg, given=given), mistakes)
    if datasets is not None and not given:
        named = {"training": datasets[0], "validation": datasets[1]}
        _tried(lambda: _probe(cfg, named), mistakes)
    if networks is not None and datasets is not None and not (begun and given):
        run = _tried(
            lambda: open_run(
                cfg,
                train_set=datasets[0],
                valid_set=datasets[1],
                team=team,
                resume=True,
                note=lambda line: None,
                networks=networks,
            ),
            mistakes,
        )
        if run is not None:
            made.costs[str(target or "")] = partial(cost_of_training, run)
    return mistakes


def _probe(cfg: Config, datasets: Mapping[str, ClipDataset]) -> None:
    """Each process for itself: what is not asked of all cannot keep one of them waiting."""
    probe_clips(datasets, limit=cfg.max_unreadable, seed=cfg.seed, note=lambda line: None)


def _fills(cfg: Config, recognizer: Recognizer, made: _Made) -> list[Mistake]:
    """Fill networks as a run that starts does, each kind of file for itself."""
    mistakes: list[Mistake] = []
    backbones = _tried(lambda: load_pretrained(recognizer, cfg.model, read=made.read), mistakes)
    path = Path(cfg.weights or "")
    whole = (
        _tried(lambda: load_weights(recognizer, path, read=made.read), mistakes, ("weights",))
        if cfg.weights
        else {}
    )
    filled = {role: list(net.state_dict()) for role, net in recognizer.networks.items()}
    if backbones is not None and whole is not None:
        # What a wrong file should have filled is no second mistake.
        filled = {role: [f"0.{key}" for key in one.loaded] for role, one in backbones.items()}
        for role, one in whole.items():
            filled[role] = [*filled.get(role, ()), *one.loaded]
    _tried(lambda: load_networks(recognizer, cfg.model, filled=filled, read=made.read), mistakes)
    return [_explained(mistake, made) for mistake in mistakes]


def _explained(mistake: Mistake, made: _Made) -> Mistake:
    """Say of files that are not there yet what will make them."""
    lines = [f"{f}: what {c} will train" for f, c in made.configs.items() if f in mistake.text]
    return replace(mistake, text="\n    ".join([mistake.text, *lines]))


def _labels(stage: Stage, made: _Made) -> list[Mistake]:
    """Set up the labelling of clips."""
    mistakes: list[Mistake] = []
    block, own, where = stage.labelling, stage.owner, ("BEFORE", stage.name)
    assert block is not None
    if made.known:
        network = labeller(stage.cfg)
        weights = Path(block.weights)

        def fill() -> None:
            held = network_weights(weights, None, read=made.read)[1]
            set_weights(network.student, held, source=weights)

        _tried(fill, mistakes, (*where, "weights"))
        mistakes = [_explained(mistake, made) for mistake in mistakes]
    spec = _tried(lambda: stage.cfg.specs["valid"], mistakes)
    classes = stage.cfg.class_num
    if classes > own.class_num:
        what = f"{stage.cfg.source} tells {classes} classes apart, this config {own.class_num}"
        mistakes.append(Mistake((*where, "label"), f"{what}: labels would be out of range"))
    samples = _tried(lambda: clips_to_label(stage), mistakes, (*where, "clips"))
    if samples is not None:
        named = {stage.name: dataset_to_label(stage, samples)}
        _tried(lambda: _probe(own, named), mistakes, (*where, "clips"))
    if made.known and samples is not None and spec is not None:
        batch = stage.cfg.DATASET.valid_batch_size or stage.cfg.DATASET.batch_size
        made.costs[str(stage.target)] = partial(
            cost_of_labelling, network, spec.clip_shape, batch=batch, clips=len(samples)
        )
    if samples is not None and block.top_k is not None:
        samples = samples[: block.top_k * classes]
    made.lists[str(stage.target)] = samples
    return mistakes


def _lists_to_come(cfg: Config, made: _Made) -> dict[Split, Sequence[Sample] | None]:
    """The clips, at most, of splits whose lists are not there yet; None: these are not known."""
    splits: tuple[Split, ...] = ("train", "valid")
    files = {split: cfg.lists[split] for split in splits}
    names = {split: str(one.list_file) for split, one in files.items() if one is not None}
    return {split: made.lists[name] for split, name in names.items() if name in made.lists}


def _weights(recognizer: Recognizer) -> dict[str, Any]:
    """Copies: opening a run may turn the networks into another precision."""
    return {key: value.numpy() for key, value in recognizer.state_dict().items()}

"""Recipes: everything that decides a training run, as one frozen value; `cxrd_models.recipes` reads them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cxrd.findings import ClassRole, Code, Value
from cxrd.inference.manifest import IntendedUse
from cxrd_models.data.tasks import Task


class PreprocessRecipe(Value):
    """Which preprocessing of ``cxrd.imaging.preprocess`` the model sees, in training and in service."""

    id: str = "plain"
    height: int = Field(224, ge=32)
    width: int = Field(224, ge=32)


class AugmentRecipe(Value):
    """Random changes of a training film; each figure is the largest change, 0 switches it off.

    Attributes
    ----------
    rotation : float
        Degrees to either side.
    scale, shift : float
        Relative size and position, e.g. 0.1 = 90 to 110 %.
    flip : float
        Probability of a left-right flip; off, because it moves the heart to the wrong side.
    contrast, brightness : float
        Relative contrast, absolute brightness of the 0..1 scale.
    blur : float
        Probability of losing detail by a smaller copy, so that source resolution tells nothing.
    blur_sizes : tuple of int
        Smallest and largest side, pixels, of that copy.
    """

    rotation: float = Field(0, ge=0, le=45)
    scale: float = Field(0, ge=0, lt=1)
    shift: float = Field(0, ge=0, lt=1)
    flip: float = Field(0, ge=0, le=1)
    contrast: float = Field(0, ge=0, lt=1)
    brightness: float = Field(0, ge=0, lt=1)
    blur: float = Field(0, ge=0, le=1)
    blur_sizes: tuple[int, int] = (56, 112)


class Phase(Value):
    """One stretch of training with its own trainable parts, rates and loss.

    Attributes
    ----------
    rates : dict of str to float
        Peak learning rate by parameter-name pattern (``backbone.features.1[5-8].*``); the first pattern
        that matches decides; a parameter of rate 0, or that none matches, is frozen.
    loss : {"bce", "asymmetric", "focal", "ce"}
        Of each class for itself, or of classes that exclude each other (``ce``).
    label_smoothing : float
        Share of the target that is spread, 0..1.
    class_weights : dict, "none" or "balanced"
        By class name, or inversely to the positive training films.
    lambda_seg, lambda_attention, lambda_branches : float
        Weights of the lung segmentation (half cross-entropy, half Dice), of attention outside the lungs, and of
        each branch that learns on its own, beside the loss of the answer.
    sampler : {"shuffle", "balanced"}
        Every film once an epoch, or films drawn so that classes come alike.
    precision : {"fp32", "bf16", "fp16"}
        Of the forward pass; weights and updates are always single precision.
    accumulate : int
        Parts in which a batch passes through the model, where memory does not hold it at once; none of fewer than two
        films, because a batch norm learns nothing from one.
    mixup : float
        Shape of the Beta distribution that blends pairs of films; 0 blends none.
    optimiser : {"adamw", "adam", "sgd"}
        ``momentum`` is that of ``sgd``.
    schedule : {"cosine", "onecycle", "constant", "step", "plateau"}
        ``step`` multiplies the rates by ``factor`` every ``step_epochs`` epochs, ``plateau`` after more than
        ``plateau`` epochs without a better score; no rate falls below ``min_rate``.
    patience : int
        Epochs without a score better by ``min_delta`` before the phase ends early; 0 never.
    """

    name: str
    epochs: int = Field(ge=1)
    batch: int = Field(32, ge=2)
    rates: dict[str, float]
    weight_decay: float = Field(0.01, ge=0)
    loss: Literal["bce", "asymmetric", "focal", "ce"] = "bce"
    focal_alpha: float = Field(1.0, gt=0)
    focal_gamma: float = Field(2.0, ge=0)
    label_smoothing: float = Field(0, ge=0, lt=1)
    class_weights: dict[str, float] | Literal["none", "balanced"] = "none"
    lambda_seg: float = Field(0, ge=0)
    lambda_attention: float = Field(0, ge=0)
    lambda_branches: float = Field(1.0, ge=0)
    sampler: Literal["shuffle", "balanced"] = "shuffle"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    accumulate: int = Field(1, ge=1)
    mixup: float = Field(0, ge=0)
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: float = Field(0.9, ge=0, lt=1)
    gamma_negative: float = Field(4, ge=0)
    gamma_positive: float = Field(1, ge=0)
    clip: float = Field(0.05, ge=0, lt=1)
    schedule: Literal["cosine", "onecycle", "constant", "step", "plateau"] = "cosine"
    step_epochs: int = Field(10, ge=1)
    plateau: int = Field(2, ge=0)
    factor: float = Field(0.1, gt=0, lt=1)
    min_rate: float = Field(0, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    clip_norm: float = Field(1.0, gt=0)
    patience: int = Field(0, ge=0)
    min_delta: float = Field(0, ge=0)


class ProbeRecipe(Value):
    """How the head begins: as logistic regression on what the published backbone makes of the films.

    What is learnt afterwards is kept only where validation films like it better than this.

    Attributes
    ----------
    strength : float
        Inverse regularisation, > 0, of features whose mean square length is 1: less holds the weights smaller.
    copies : int
        Changed copies, see `AugmentRecipe`, that the regression sees of each training film beside the film itself.
    mirrored : bool
        It sees each of them once more with left and right exchanged: what tells a finding seldom hangs on the side.
    """

    strength: float = Field(1.0, gt=0)
    copies: int = Field(3, ge=0)
    mirrored: bool = False


class GuardRecipe(Value):
    """Protection against labels that only tell the source of a film.

    Attributes
    ----------
    min_source_positives : int
        A class is learnt and monitored only on sources with at least this many positive training films:
        elsewhere its absence says where the film came from, not what it shows.
    coarsest_side : int
        Side, pixels, of the coarsest source; the card also tells the AUROC with every film reduced to it.
        0 when all sources are alike.
    """

    min_source_positives: int = Field(0, ge=0)
    coarsest_side: int = Field(0, ge=0)


class ReportRecipe(Value):
    """When a class may be reported: fewer positive films than these cannot support a threshold or a claim."""

    min_train: int = Field(15, ge=0)
    min_val: int = Field(5, ge=0)
    min_test: int = Field(5, ge=0)


class TermRecipe(Value):
    """How a report codes a class of one's own.

    Attributes
    ----------
    code : Code
        ``value``, ``scheme`` and ``meaning``, of SNOMED CT say.
    site : Code or None
        Where it is seen; the chest where nothing is said.
    role : {"finding", "normal", "other"}
        Only a finding is reported as present.
    """

    code: Code
    site: Code | None = None
    role: ClassRole = ClassRole.FINDING


class Recipe(Value):
    """A training run's decisions; the digest of this value is in the run and in the package.

    Attributes
    ----------
    task : str or Task
        One known by name; ``own``: whatever column ``label`` of the data set holds; or one spelt out as ``[task]``.
    ema : float
        Share of the average of weights kept at each step; 0 keeps the last weights instead.
    monitor : {"mean", "weighted", "loss", "accuracy"}
        The one score on validation films that chooses an epoch: the mean AUROC of the classes, each alike or by
        its positive films, which is steadier where some have few; the least loss; or the best accuracy.
    terms : dict of str to TermRecipe
        What reports call classes that the vocabulary does not know.
    probe : ProbeRecipe or None
        The head begins as a regression; None leaves it at random.
    heat : str
        How the architecture draws its maps, for the card and the report.
    remarks : tuple of str
        What a reader of the card must know and the figures do not tell.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    title: str
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    architecture: str
    size: str
    task: str | Task
    seed: int = 0
    ema: float = Field(0, ge=0, lt=1)
    monitor: Literal["mean", "weighted", "loss", "accuracy"] = "weighted"
    data_licence: str
    heat: str = "contribution"
    remarks: tuple[str, ...] = ()
    preprocess: PreprocessRecipe = PreprocessRecipe()
    model: dict[str, Any] = Field(default_factory=dict)
    augment: AugmentRecipe = AugmentRecipe()
    guard: GuardRecipe = GuardRecipe()
    probe: ProbeRecipe | None = None
    report: ReportRecipe = ReportRecipe()
    use: IntendedUse
    terms: dict[str, TermRecipe] = Field(default_factory=dict)
    phases: tuple[Phase, ...] = Field(min_length=1)

    @property
    def grid(self) -> tuple[int, int]:
        """Input rows and columns."""
        return self.preprocess.height, self.preprocess.width

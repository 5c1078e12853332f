"""Whatever a user gets wrong costs one line and exit code 2: no traceback, nothing lost, nothing overwritten."""

import shutil

import numpy as np
import pytest
from commands import drive
from data.miniatures import idx_files, write

from max_mahalanobis.models import build
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.runs import Run, create_run, facts_of, save_tensors
from max_mahalanobis.training import fill_defaults, train

# (what is wrong, command line, what stderr says: the whole line, or for the parser's own messages a part)
TRAINING = (
    ("unknown data set", "train --out new --data imagenet",
     "unknown data set 'imagenet': choose from digits, mnist, fashion-mnist, cifar10, cifar100, or give the path of a "
     ".npz file or of a folder with train/CLASS and test/CLASS"),
    ("dim too small", "train --out new --dim 1",
     "10 classes do not fit into dim 1, a line holds two: raise dim to 2 or more"),
    ("dim too small over an old run", "train --out run --overwrite --dim 1",
     "10 classes do not fit into dim 1, a line holds two: raise dim to 2 or more"),
    ("dim 0", "train --out new --dim 0", "dim 0 must be above 0"),
    ("eps negative", "train --out new --eps -0.1", "eps -0.1 must be 0 or more"),
    ("eps above 1", "train --out new --eps 8",
     "eps 8.0 must be at most 1: pixels lie in [0, 1], write 8/255 for 8"),
    ("eps nan", "train --out new --eps nan", "eps nan must be 0 or more"),
    ("steps 0", "train --out new --adversary-steps 0", "adversary_steps 0 must lie in [1, 2^31)"),
    ("epochs 0", "train --out new --epochs 0", "epochs 0 must lie in [1, 2^31)"),
    ("batch size beyond 64 bits", f"train --out new --batch-size {2**70}",
     f"batch_size {2**70} must lie in [1, 2^31)"),
    ("free with TRADES", "train --out new --adversary free --robust-loss trades",
     "robust_loss trades compares images with perturbed copies, the adversary free makes none: choose pgd"),
    ("TRADES alone", "train --out new --robust-loss trades", "robust_loss trades needs an adversary: choose pgd"),
    ("targets without aim", "train --out new --adversary pgd --adversary-targets all",
     "adversary_targets all aims at classes: set adversary_targeted as well"),
    ("restarts in no ball", "train --out new --adversary pgd --adversary-restarts 2 --eps 0",
     "eps 0 leaves 2 restarts nothing to search: raise eps"),
    ("L1 without budget", "train --out new --adversary pgd --threat l1",
     "threat l1 has no usual budget: give one with --eps"),
    ("keep negative", "train --out new --keep -1", "--keep -1 must be at least 0"),
    ("no process", "train --out new --devices 0", "--devices 0 must be at least 1"),
    ("extra data absent", "train --out new --extra-data no.npz", "no.npz does not exist: check the path"),
    ("pretrained absent", "train --out new --pretrained no.pt", "pretrained no.pt does not exist: check the path"),
    ("silu elsewhere", "train --out new --activation silu", "activation silu is for resnet18, preact_resnet18, "
     "wide_resnet28_10, wide_resnet34_10, not mlp: leave it at relu"),
    ("learning rate 0", "train --out new --learning-rate 0", "learning_rate 0.0 must be above 0"),
    ("weight decay infinite", "train --out new --weight-decay inf",
     "weight_decay inf must be 0 or more, and finite"),
    ("setting of another head", "train --out new --head softmax --margin 0.2",
     "margin 0.2 is no setting of head softmax: leave it at None, or choose head large_margin_gaussian or hypersphere "
     "or cosface or arcface"),
    ("norm of a head without centers", "train --out new --head squared --norm 100",
     "norm 100.0 is no setting of head squared: leave it at 10.0, or choose head mmc or mmlda"),
    ("lambda negative", "train --out new --head center_loss --center-weight -1",
     "center_weight -1.0 must be 0 or more, and finite"),
    ("alpha above 1", "train --out new --head center_loss --center-rate 2", "center_rate 2.0 must lie in [0, 1]"),
    ("margin of no angle", "train --out new --head hypersphere --margin 3", "margin 3.0 must be below 2"),
    ("validation 1", "train --out new --validation 1", "validation 1.0 must lie between 0 and 1"),
    ("nothing left to train on", "train --out new --validation 0.9999",
     "digits: validation 0.9999 of 1300 training images leaves none to train on: add images"),
    ("seed negative", "train --out new --seed -1", "seed -1 must lie in [0, 2^62)"),
    ("threads 0", "train --out new --threads 0",
     "--threads 0 must lie in [1, 1024]: the number of cores is a good choice"),
    ("threads beyond reason", "train --out new --threads 100000",
     "--threads 100000 must lie in [1, 1024]: the number of cores is a good choice"),
    ("accelerator absent", "train --out new --device mps", "--device mps is not available here: use --device cpu"),
    ("recipe file absent", "train --out new --recipe-file no.toml",
     "cannot read no.toml (No such file or directory): give a recipe.toml"),
    ("recipe file absent, underscore", "train --out new --recipe_file=no.toml",
     "cannot read no.toml (No such file or directory): give a recipe.toml"),
    ("recipe file of a newer format", "train --out new --recipe-file newer/recipe.toml",
     "newer/recipe.toml has format 2, this version reads up to 1: update mmc"),
    ("recipe file that is none", "train --out new --recipe-file alien/recipe.toml",
     "alien/recipe.toml is not a recipe: it has no line 'format = 1'"),
    ("recipe with an unknown setting", "train --out new --recipe-file typo.toml",
     "unknown setting in typo.toml: 'epoch': choose from "
     + ", ".join(name for name in Recipe.__dataclass_fields__)),
    ("recipe with a word for a number", "train --out new --recipe-file word.toml", "epochs 'many' must be int"),
    ("recipe with a table for a number", "train --out new --recipe-file table.toml", "epochs {'n': 3} must be int"),
)  # fmt: skip

DATA = (
    ("missing npz", "train --out new --data no.npz", "no.npz does not exist: check the path"),
    ("NaN pixels", "train --out new --data nan.npz",
     "nan.npz: x_train holds NaN or infinity: pixels must lie in [0, 1]"),
    ("range of bytes in floats", "train --out new --data range.npz",
     "range.npz: x_train lies in [0, 255]: bring it to [0, 1], or store uint8"),
    ("pixels of another type", "train --out new --data int32.npz",
     "int32.npz: x_train is int32: store uint8, or float in [0, 1]"),
    ("flattened images", "train --out new --data flat.npz",
     "flat.npz: x_train has shape (20, 64): make it (N, H, W, C) or (N, C, H, W), C 1 or 3"),
    ("test images of another shape", "train --out new --data shapes.npz",
     "shapes.npz: training images are (1, 8, 8), test images (1, 9, 9) (channels, height, width): "
     "bring them to one size"),
    ("labels out of range", "train --out new --data label.npz",
     "label.npz: y_test: label 7 is outside 0..1: number the classes from 0, or check the file"),
    ("labels negative", "train --out new --data negative.npz",
     "negative.npz: y_train holds label -1: number the classes from 0"),
    ("fewer classes than labels", "train --out new --data gap.npz",
     "gap.npz: y_train has labels up to 2 but none is 1: number the classes 0..K-1"),
    ("one class", "train --out new --data one.npz",
     "one.npz: y_train holds one class only: a classifier needs at least 2"),
    ("images without labels", "train --out new --data pair.npz",
     "pair.npz: x_train, y_train: 20 images but 19 labels: they must pair up"),
    ("other arrays", "train --out new --data keys.npz",
     "keys.npz has arrays x, y: it needs x_train, y_train, x_test, y_test"),
    ("truncated idx file", "train --out new --data mnist --data-dir cut",
     "cut/train-images-idx3-ubyte.gz is damaged or cut short "
     "(Compressed file ended before the end-of-stream marker was reached): fetch it again"),
    ("images named as labels", "train --out new --data mnist --data-dir mislabeled",
     "mislabeled/train-labels-idx1-ubyte.gz begins with 00000803, not 00000801: not the idx file of this name"),
    ("idx file absent", "train --out new --data mnist --data-dir lacking",
     "lacking/t10k-labels-idx1-ubyte.gz is missing: a folder of mnist holds all its files, training and test"),
    ("folder without the set", "train --out new --data mnist --data-dir strangers",
     "strangers does not hold mnist: looked for mnist/train-images-idx3-ubyte.gz, "
     "MNIST/raw/train-images-idx3-ubyte.gz, MNIST/raw/train-images-idx3-ubyte, there and below"),
    ("data folder absent", "train --out new --data mnist --data-dir no",
     "data folder no does not exist: check the path"),
)  # fmt: skip

RUNS = (
    ("a run is there", "train --out run", "run exists: continue it with --resume, or replace it with --overwrite"),
    ("a folder not ours", "train --out strangers",
     "strangers exists and is not a run of mmc (no recipe.toml): choose another --out"),
    ("a folder not ours, overwrite", "train --out strangers --overwrite",
     "strangers exists and is not a run of mmc (no recipe.toml): choose another --out"),
    ("another program's recipe.toml, overwrite", "train --out alien --overwrite",
     "alien/recipe.toml is not a recipe: it has no line 'format = 1'"),
    ("a newer run, overwrite", "train --out newer --overwrite",
     "newer/recipe.toml has format 2, this version reads up to 1: update mmc"),
    ("a newer run, resume", "train --out newer --resume",
     "newer/recipe.toml has format 2, this version reads up to 1: update mmc"),
    ("a newer run, evaluate", "evaluate newer",
     "newer/recipe.toml has format 2, this version reads up to 1: update mmc"),
    ("out is a file", "train --out notes.txt", "notes.txt is a file: choose another --out"),
    ("out below a file", "train --out notes.txt/run",
     "cannot write notes.txt/run/recipe.toml (Not a directory): make room there, or choose another place"),
    ("out where nobody can write", "train --out /proc/run",
     "cannot write /proc/run/recipe.toml (No such file or directory): make room there, or choose another place"),
    ("resume of nothing", "train --out new --resume", "no run folder at new: make one with mmc train --out new"),
    ("resume of a folder not ours", "train --out strangers --resume",
     "strangers is not a run of mmc (no recipe.toml): give the folder that mmc train made"),
    ("resume with another recipe", "train --out run --resume --seed 3",
     "run has another recipe: resume without other options, or choose another --out"),
    ("resume and overwrite", "train --out run --resume --overwrite",
     "--overwrite and --resume contradict each other: choose one"),
    ("resume on other data", "train --out other-data --resume",
     "two.npz: not the data other-data was trained on, give those (see --data-dir)"),
    ("state damaged", "train --out state-damaged --resume",
     "state-damaged/state/last.safetensors is damaged (its checksum does not match): restore it or train again"),
    ("weights damaged", "evaluate damaged",
     "damaged/weights.safetensors is damaged (its checksum does not match): restore it or train again"),
    ("weights of another recipe", "evaluate foreign",
     "foreign/weights.safetensors belongs to another recipe than foreign/recipe.toml: restore one of them"),
    ("weights not there yet", "evaluate unfinished",
     "unfinished has no weights yet: finish it with mmc train --out unfinished --resume"),
    ("weights of another shape", "evaluate misfit",
     "misfit/weights.safetensors does not fit the model of misfit/recipe.toml: train again"),
)  # fmt: skip

EVALUATION = (
    ("no such run", "evaluate new", "no run folder at new: make one with mmc train --out new"),
    ("a file for a run", "evaluate notes.txt",
     "notes.txt is a file, not a run folder: give the folder that mmc train made"),
    ("a folder for a run", "evaluate strangers",
     "strangers is not a run of mmc (no recipe.toml): give the folder that mmc train made"),
    ("weights that were not kept", "evaluate kept --weights 2",
     "--weights 2: kept has no such weights: choose from last, 1, 3 (mmc train --keep N keeps N epochs)"),
    ("weights of no kind", "evaluate kept --weights ../weights",
     "--weights ../weights: kept has no such weights: choose from last, 1, 3 (mmc train --keep N keeps N epochs)"),
    ("weights of a run that keeps none", "evaluate alone --weights best",
     "--weights best: alone has no such weights: it keeps its own alone, leave --weights out "
     "(mmc train --keep N keeps N epochs)"),
    ("eps negative", "evaluate run --eps -1/255", "eps -0.00392156862745098 must be 0 or more"),
    ("eps above 1", "evaluate run --eps 8",
     "eps 8.0 must be at most 1: pixels lie in [0, 1], write 8/255 for 8"),
    ("images 0", "evaluate run --images 0", "--images 0 must be at least 1"),
    ("batch size 0", "evaluate run --batch-size 0", "--batch-size 0 must be at least 1"),
    ("no processes", "evaluate run --devices 0", "--devices 0 must be at least 1"),
    ("an attack and a suite", "evaluate run --attack pgd --suite auto --images 5",
     "--attack pgd and --suite auto exclude each other: evaluate twice"),
    ("a setting of no attack", "evaluate run --kind contrast --images 5",
     "--kind belongs to one attack: name it with --attack, for example --attack apgd"),
    ("a setting of another attack", "evaluate run --attack pgd --kind contrast --images 5",
     "attack pgd has no kind: leave it out, or choose another attack"),
    ("no corruption", "evaluate run --attack corrupt --kind snow --images 5",
     "unknown corruption 'snow': choose from gaussian_noise, shot_noise, impulse_noise, speckle_noise, gaussian_blur, "
     "defocus_blur, brightness, contrast, saturate, pixelate, jpeg_compression"),
    ("no severity", "evaluate run --attack corrupt --severity 6 --images 5",
     "severity must be 1, 2, 3, 4 or 5, got 6"),
    ("transfer from nowhere", "evaluate run --source new --images 5",
     "no run folder at new: make one with mmc train --out new"),
    ("transfer from other images", "evaluate run --source wider --images 5",
     "--source wider was trained on images [1, 16, 8], these are [1, 8, 8]"),
    ("transfer from other classes", "evaluate run --source renamed --images 5",
     "--source renamed knows other classes than run: give a run of the same data"),
    ("transfer along a curve", "evaluate run --source run --curve --images 5",
     "--curve is of attacks on the run itself: leave --curve or --source out"),
    ("transfer without a budget", "evaluate run --source run --suite quick --suite minimum_norm --images 5",
     "--suite minimum_norm climbs no budget, which --source needs: leave one of them out"),
    ("transfer of what asks no model", "evaluate run --source run --suite transformations --images 5",
     "--suite transformations climbs no budget, which --source needs: leave one of them out"),
    ("audit shared until decided", "audit run --until-decided --devices 2",
     "--until-decided attacks one part after the other, there is nothing to share: leave it out"),
    ("audit of a model's weights", "audit --model a:b --data two.npz --eps 0.1 --weights best",
     "--weights best belongs to a run: what --model returns has its own"),
    ("audit with weights not kept", "audit kept --weights 2",
     "--weights 2: kept has no such weights: choose from last, 1, 3 (mmc train --keep N keeps N epochs)"),
    ("seed beyond 64 bits", f"evaluate run --seed {2**70}", f"seed {2**70} must lie in [0, 2^62)"),
    ("audit of nothing", "audit", "name a run folder, or --model module:function with --data file.npz"),
    ("audit of two things", "audit run --model a:b",
     "name a run folder, or --model module:function with --data file.npz"),
    ("audit without images", "audit --model a:b", "--model needs --data file.npz and --eps"),
    ("audit of no module", "audit --model nowhere:net --data two.npz --eps 0.1",
     "--model nowhere:net: No module named 'nowhere': run where nowhere can be imported"),
    ("audit of no function", "audit --model json:net --data two.npz --eps 0.1", "--model json:net: json has no net"),
    ("audit without a colon", "audit --model json --data two.npz --eps 0.1",
     "--model json must be module:function, for example mymodels:resnet"),
    ("trials on no images", "audit run --trial-images 0", "--trial-images 0 must be at least 1"),
    ("report of nothing", "report", "no runs named: mmc report runs/*"),
    ("report of no run", "report new",
     "there is no new: give a run folder made by `mmc train`, or a .jsonl of result rows"),
    ("report before evaluate", "report run", "run holds no results: run `mmc evaluate` on it first"),
    ("report over something else", "report run --out run/recipe.toml",
     "--out run/recipe.toml must end in .html: the page replaces the file"),
    ("no classes", "centers --classes 0", "num_classes and dim must be at least 1, got 0 and 1"),
    ("too few dimensions", "centers --classes 10 --dim 1",
     "10 classes do not fit into dim 1, a line holds two: raise dim to 2 or more"),
    ("orthonormal in too few dimensions", "centers --kind orthonormal --dim 9",
     "10 orthonormal centers need dim >= 10, got 9: raise dim, or use maximal centers"),
    ("superclasses of other classes", "centers --kind hierarchical --classes 4 --superclasses 0 0 1",
     "3 superclasses for 4 classes: give one for each class"),
    ("superclasses with a gap", "centers --kind hierarchical --superclasses 0 0 2",
     "no class has superclass 1 of 0..2: number them without gaps"),
    ("superclasses unknown", "centers --kind hierarchical --classes 4",
     "hierarchical centers need the superclass of each class"),
    ("hierarchical in too few dimensions", "centers --kind hierarchical --dim 5",
     "20 superclasses of up to 5 classes do not fit into dim 5: raise dim to 23"),
    ("kind file without one", "centers --kind file", "file centers need a file"),
    ("a file of another kind", "centers --file centers.npy", "maximal centers come from no file: choose the kind file"),
    ("centers that are twins", "centers --kind file --file centers.npy",
     "centers.npy: centers 0 and 1 are equal: each class needs its own"),
    ("centers of another shape", "centers --kind file --file centers.npy --dim 4",
     "centers.npy holds centers in 3 dimensions, not 4: set dim to 3"),
    ("centers in a file absent", "centers --kind file --file no.npy",
     "cannot read no.npy (No such file or directory): give a file of centers"),
    ("centers in prose", "centers --kind file --file notes.txt", "notes.txt: centers are read from .npy or .mat files"),
    ("a picture that is no SVG", "centers --plot centers.png", "--plot centers.png must end in .svg"),
    ("centers with a negative seed", "centers --seed -1", "seed -1 must lie in [0, 2^62)"),
    ("norm negative", "centers --norm -1", "norm must be positive, got -1.0"),
    ("centers over a file", "centers --out notes.txt", "notes.txt exists: replace it with --overwrite"),
    ("centers over a folder", "centers --out strangers --overwrite",
     "cannot write strangers (Is a directory): make room there, or choose another place"),
    ("centers below a file", "centers --out notes.txt/c.npy",
     "cannot write notes.txt/c.npy (File exists): make room there, or choose another place"),
    ("quickstart over a run", "quickstart --out strangers",
     "strangers exists and was not made by mmc quickstart: choose another --out"),
    ("density of nothing", "density", "no runs named: mmc density runs/a runs/b"),
    ("density of no run", "density new", "no run folder at new: make one with mmc train --out new"),
    ("density before training has ended", "density unfinished",
     "unfinished has no weights yet: finish it with mmc train --out unfinished --resume"),
    ("density of damaged weights", "density run damaged",
     "damaged/weights.safetensors is damaged (its checksum does not match): restore it or train again"),
    ("density over a folder not ours", "density run --out strangers --overwrite",
     "strangers exists and was not made by mmc density: choose another --out"),
    ("density over a file", "density run --out notes.txt", "notes.txt is a file: choose another --out"),
    ("density of no images", "density run --images 0", "--images 0 must be at least 1"),
    ("density with a negative seed", "density run --seed -1", "seed -1 must lie in [0, 2^62)"),
    ("quickstart with a negative seed", "quickstart --seed -1", "seed -1 must lie in [0, 2^62)"),
    ("plan for no precision", "plan --precision 0",
     "--precision 0 must lie in [0.05, 50): points of accuracy, often 1"),
    ("plan for any precision", "plan --precision nan",
     "--precision nan must lie in [0.05, 50): points of accuracy, often 1"),
    ("plan above 100 %", "plan --accuracy 101",
     "--accuracy 101 must lie in [0, 100]: give percent"),
    ("plan with no images", "plan --images 0", "--images 0 must lie in [1, 10^7]"),
)  # fmt: skip

SWEEPS = (
    ("sweep of no grid", "sweep no.toml --out new",
     "cannot read no.toml (No such file or directory): give a grid (.toml)"),
    ("sweep of a folder", "sweep run --out new", "cannot read run (Is a directory): give a grid (.toml)"),
    ("sweep of prose", "sweep notes.txt --out new",
     "notes.txt is not TOML: Expected '=' after a key in a key/value pair (at line 1, column 5)"),
    ("grid with an unknown table", "sweep grid-typo.toml --out new",
     "unknown table in grid-typo.toml: 'axis': choose from seeds, recipe, axes, evaluate"),
    ("grid without axes", "sweep grid-none.toml --out new",
     "grid-none.toml has no [axes.NAME]: give at least one axis, with named settings"),
    ("grid with an empty axis", "sweep grid-empty.toml --out new",
     'grid-empty.toml [axes.head] names no settings: give at least one, as NAME = { head = "mmc" }'),
    ("grid with an unknown field", "sweep grid-field.toml --out new",
     "unknown setting in grid-field.toml [axes.head] MMC: 'length': choose from "
     + ", ".join(name for name in Recipe.__dataclass_fields__)),
    ("grid with a field in two axes", "sweep grid-twice.toml --out new",
     "grid-twice.toml: norm is set in [axes.head] MMC and in [axes.length] long: set it on one axis"),
    ("grid with a seed twice", "sweep grid-seeds.toml --out new",
     "grid-seeds.toml: seed 1 stands in seeds more than once: once is enough"),
    ("grid with a seed in the recipe", "sweep grid-seed.toml --out new",
     "grid-seed.toml [recipe]: seed 3 belongs into the list: seeds = [3]"),
    ("grid with an unknown judgment", "sweep grid-judge.toml --out new",
     "unknown setting in grid-judge.toml [evaluate]: 'suite': choose from suites, threat, eps, images, batch_size, "
     "seed"),
    ("grid with a suite without a budget", "sweep grid-suite.toml --out new",
     "unknown suite in grid-suite.toml [evaluate]: 'minimum_norm': choose from quick, paper, paper_faithful, adaptive, "
     "auto, auto_fast, audit, auto_plus, exhaustive"),
    ("sweep into a folder not ours", "sweep grid.toml --out strangers",
     "strangers exists and was not made by mmc sweep: choose another --out"),
    ("sweep into a run", "sweep grid.toml --out run",
     "run exists and was not made by mmc sweep: choose another --out"),
    ("sweep into a file", "sweep grid.toml --out notes.txt", "notes.txt is a file: choose another --out"),
    ("sweep over another recipe", "sweep grid.toml --out swept",
     "swept/MMC-0 has another recipe than the grid: choose another --out, or remove that folder"),
    ("sweep of no cell", "sweep grid.toml --out new --cell MMC", "unknown cell 'MMC': choose from MMC-0"),
    ("sweep of nothing at a time", "sweep grid.toml --out new --jobs 0", "--jobs 0 must be at least 1"),
    ("sweep with a cluster's options here", "sweep grid.toml --out new --gpus 1",
     "--gpus is for jobs of a cluster: add --cluster slurm"),
    ("sweep on an accelerator absent", "sweep grid.toml --out new --device mps",
     "--device mps is not available here: use --device cpu"),
)  # fmt: skip

FULL_DISK = (
    ("before the recipe", "train --out run --overwrite", 100, "run/recipe.toml"),
    ("at centers", "centers --out centers.npy --overwrite --classes 20", 100, "centers.npy"),
    ("at results", "evaluate evaluated --images 3", 500, "evaluated/evaluation/0.jsonl"),
)

PARSED = (
    ("unknown command", "trian", "Unrecognized options: trian"),
    ("unknown option", "train --out new --epoch 3", "Unrecognized options: --epoch, 3"),
    ("unknown model", "train --out new --model vgg", "unknown model 'vgg': choose from mlp, small_cnn"),
    ("unknown head", "train --out new --head mm", "invalid choice 'mm' for argument '--head'"),
    ("unknown suite", "evaluate run --suite autoattack", "invalid choice 'autoattack' for argument '--suite'"),
    (
        "suite without a budget",
        "audit run --suite minimum_norm",
        "invalid choice 'minimum_norm' for argument '--suite'",
    ),
    ("unknown precision", "evaluate run --precision half", "unknown precision 'half': choose from 32-true, bf16-mixed"),
    ("unknown precision in training", "train --out new --precision half", "unknown precision 'half'"),
    ("unknown threat", "evaluate run --threat l7", "invalid choice 'l7' for argument '--threat'"),
    ("unknown adversary", "train --out new --adversary cw", "invalid choice 'cw' for argument '--adversary'"),
    ("no number", "train --out new --epochs many", "Error parsing --epochs"),
    ("division by zero", "train --out new --norm 8/0", "8/0 divides by zero"),
    ("number beyond floats", f"train --out new --norm {'9' * 400}/1", "is too large"),
    ("no --out", "train", "--out PATH"),
)

ONE_LINE = TRAINING + DATA + RUNS + EVALUATION + SWEEPS


@pytest.fixture(scope="module")
def done(tmp_path_factory, digits):
    """What every command of the tables did, by its words; one process for all of them."""
    folder = tmp_path_factory.mktemp("bad input")
    _fill(folder, digits)
    commands = [words.split() for _, words, _ in ONE_LINE + PARSED]
    commands += [[f"full disk after {size}", *words.split()] for _, words, size, _ in FULL_DISK]
    return {tuple(command): result for command, result in zip(commands, drive(folder, commands), strict=True)}


@pytest.mark.parametrize(("words", "line"), [case[1:] for case in ONE_LINE], ids=[case[0] for case in ONE_LINE])
def test_bad_input_gets_one_line_and_touches_nothing(done, words, line):
    result = done[tuple(words.split())]
    assert result["err"] == f"mmc: {line}\n"
    assert result["code"] == 2
    assert result["changed"] == []


@pytest.mark.parametrize(("words", "part"), [case[1:] for case in PARSED], ids=[case[0] for case in PARSED])
def test_what_the_parser_refuses_is_named_without_a_traceback(done, words, part):
    result = done[tuple(words.split())]
    assert part in result["err"]
    assert "Traceback" not in result["err"]
    assert (result["code"], result["out"], result["changed"]) == (2, "", [])


@pytest.mark.parametrize(("words", "size", "file"), [case[1:] for case in FULL_DISK], ids=[c[0] for c in FULL_DISK])
def test_a_full_disk_gets_one_line_and_the_old_files_stay(done, words, size, file):
    result = done[f"full disk after {size}", *words.split()]
    assert result["err"].splitlines()[-1].startswith(f"mmc: cannot write {file} (File too large): make room there")
    assert "Traceback" not in result["err"]
    kept = {"evaluated/evaluation", "evaluated/evaluation/0.jsonl"}  # what was found so far, for the next evaluation
    assert (result["code"], set(result["changed"]) - kept) == (2, set())


def _fill(folder, digits):
    """Data files and run folders, each wrong in one way."""
    (folder / "notes.txt").write_text("not mmc's\n")
    write(folder / "strangers", {"notes.txt": b"not mmc's\n"})
    write(folder / "alien", {"recipe.toml": b"[eggs]\nn = 2\n", "weights.safetensors": b"not mmc's"})
    write(folder / "newer", {"recipe.toml": b"format = 2\nnovelty = 3\n"})
    for name, line in (("typo", "epoch = 3"), ("word", "epochs = 'many'"), ("table", "[epochs]\nn = 3")):
        (folder / f"{name}.toml").write_text(f"format = 1\n{line}\n")
    np.save(folder / "centers.npy", np.zeros((2, 3)))
    _fill_runs(folder, digits)
    _fill_grids(folder)
    _fill_npz(folder)
    files = idx_files()
    first, labels, _, last = files
    write(folder / "cut", files | {first: files[first][:-20]})
    write(folder / "mislabeled", files | {labels: files[first]})
    write(folder / "lacking", {name: data for name, data in files.items() if name != last})


def _fill_runs(folder, digits):
    recipe = fill_defaults(Recipe(epochs=1))
    train(recipe, digits, run=create_run(folder / "run", recipe, facts_of(recipe, digits)), device="cpu")
    weights, state = "weights.safetensors", "state/last.safetensors"
    for name in (
        "damaged",
        "foreign",
        "unfinished",
        "misfit",
        "state-damaged",
        "other-data",
        "evaluated",
        "kept",
        "alone",
        "wider",
        "renamed",
    ):
        shutil.copytree(folder / "run", folder / name)
    for name, kept in (("kept", ("last", "epoch-0001", "epoch-0003")), ("alone", ())):
        shutil.rmtree(folder / name / "checkpoints", ignore_errors=True)
        for which in kept:
            (folder / name / "checkpoints").mkdir(exist_ok=True)
            shutil.copy(folder / name / weights, folder / name / "checkpoints" / f"{which}.safetensors")
    for file in (folder / "damaged" / weights, folder / "state-damaged" / state):
        data = bytearray(file.read_bytes())
        data[-5] ^= 1
        file.write_bytes(data)
    (folder / "unfinished" / weights).unlink()
    _edit(folder / "foreign" / "recipe.toml", "seed = 0", "seed = 1")
    _edit(folder / "misfit" / "recipe.toml", "num_classes = 10", "num_classes = 11")
    _wider(folder / "wider", recipe)
    _edit(folder / "renamed" / "recipe.toml", 'class_names = [\n    "0",', 'class_names = [\n    "shirt",')
    _edit(folder / "other-data" / "recipe.toml", 'data = "digits"', 'data = "two.npz"')
    (folder / "evaluated" / "results.jsonl").write_text('{"schema": 1}\n')


def _wider(path, recipe):
    """A run of images of another shape."""
    facts = Run(path).trained_on | {"image_shape": [1, 16, 8]}
    save_tensors(
        create_run(path, recipe, facts, overwrite=True).weights_file,
        build(recipe, (1, 16, 8), 10).state_dict(),
        {"recipe": recipe.fingerprint},
    )


def _fill_grids(folder):
    """Grids, each wrong in one way, and a sweep whose only run has another recipe than the good one."""
    good = "[axes.head]\nMMC = { head = 'mmc', norm = 1.0 }\n"
    grids = {
        "": good,
        "-typo": f"{good}[axis.training]\n",
        "-none": "seeds = [0]\n",
        "-empty": "[axes.head]\n",
        "-field": "[axes.head]\nMMC = { length = 1.0 }\n",
        "-twice": f"{good}[axes.length]\nlong = {{ norm = 10.0 }}\n",
        "-seeds": f"seeds = [1, 2, 1]\n{good}",
        "-seed": f"[recipe]\nseed = 3\n{good}",
        "-judge": f"{good}[evaluate]\nsuite = ['quick']\n",
        "-suite": f"{good}[evaluate]\nsuites = ['minimum_norm']\n",
    }
    for name, text in grids.items():
        (folder / f"grid{name}.toml").write_text(text)
    (folder / "swept").mkdir()
    (folder / "swept" / "grid.toml").write_text(good)
    shutil.copytree(folder / "run", folder / "swept" / "MMC-0")


def _edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def _fill_npz(folder):
    x, y = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
    good = {"x_train": x, "y_train": y, "x_test": x[:4], "y_test": y[:4]}
    floats = np.zeros((20, 8, 8), np.float32)
    bad = {
        "two": {},
        "nan": {"x_train": np.where(y[:, None, None], np.nan, floats)},
        "range": {"x_train": floats + 255 * y[:, None, None]},
        "int32": {"x_train": x.astype(np.int32)},
        "flat": {"x_train": x.reshape(20, 64)},
        "shapes": {"x_test": np.zeros((4, 9, 9), np.uint8)},
        "label": {"y_test": np.array([0, 1, 0, 7])},
        "negative": {"y_train": y - 1},
        "gap": {"y_train": y * 2},
        "one": {"y_train": y * 0},
        "pair": {"y_train": y[1:]},
    }
    for name, change in bad.items():
        np.savez(folder / f"{name}.npz", **good | change)
    np.savez(folder / "keys.npz", x=x, y=y)

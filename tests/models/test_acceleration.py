import copy
import threading

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from max_mahalanobis.attacks import pgd
from max_mahalanobis.errors import UserError
from max_mahalanobis.models import MODELS, build
from max_mahalanobis.models.acceleration import accelerated, folded
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.threats import Linf

SHAPE = (3, 8, 8)
EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture(autouse=True)
def stand_ins_are_let_in(monkeypatch):
    """torch.fx reads a model by running it on stand-ins, which the tests' type checks of our own models refuse."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def lived(model: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The model with BatchNorms that have seen something."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                if tensor is not None:
                    tensor.data.uniform_(0.5, 1.5, generator=generator)
    return model.to(dtype).eval()


def images(count: int = 6, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=dtype)


def logits_and_gradient(model, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_(True)
    logits = model(x)
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    return logits.detach(), torch.autograd.grad((logits * weights).sum(), x)[0]


def assert_same(fast, model, x: Tensor, **tolerance) -> None:
    for ours, plain in zip(logits_and_gradient(fast, x), logits_and_gradient(model, x), strict=True):
        scale = plain.abs().max()
        torch.testing.assert_close(ours / scale, plain / scale, **tolerance)


def norms_left(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("head", ["softmax", "mmc"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("narrow")
def test_a_folded_copy_has_the_models_logits_and_input_gradients(name, head):
    model = lived(build(Recipe(model=name, head=head, blocks=1, dim=12), (3, 10, 10), 4))
    x = torch.rand(6, 3, 10, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert_same(folded(model), model, x, **EXACT)
    with torch.no_grad():
        torch.testing.assert_close(folded(model)(x), model(x), **EXACT)
    model, x = model.float(), x.float()
    logits = model(x)
    torch.testing.assert_close(folded(model)(x) / logits.abs().max(), logits / logits.abs().max(), rtol=0, atol=1e-5)


def test_kerass_padding_hinders_no_folding():
    model = lived(build(Recipe(model="resnet_v1", blocks=1, padding="keras"), SHAPE, 4))
    assert norms_left(folded(model)) == 0
    assert_same(folded(model), model, images(), **EXACT)


def test_all_batchnorms_of_basic_blocks_are_folded_and_those_before_activations_of_a_sum_stay():
    model = build(Recipe(model="resnet_v1", blocks=2), SHAPE, 10)
    copied = folded(model)
    assert norms_left(copied) == 0
    assert len(copied.pairs) == norms_left(model) == 13
    model = build(Recipe(model="resnet_v2", blocks=2), SHAPE, 10)
    assert norms_left(folded(model)) == 5 + 1  # one opens each block but the first, one is the last
    assert norms_left(model) == 6 + 1 + 2 * 6


@pytest.mark.parametrize(("name", "left"), [("resnet18", 0), ("preact_resnet18", 8), ("wide_resnet28_10", 3 - 1 + 1)])
@pytest.mark.usefixtures("narrow")
def test_in_preactivated_blocks_the_norms_behind_a_sum_stay(name, left):
    copied = folded(build(Recipe(model=name), (3, 10, 10), 4))
    assert copied.pairs is not None
    assert norms_left(copied) == left


def test_the_copy_is_frozen_and_the_model_is_left_as_it_was():
    model = build(Recipe(model="resnet_v1", blocks=1), SHAPE, 10).train()
    before = copy.deepcopy(model.state_dict())
    copied = folded(model)
    copied(images(dtype=torch.float32))
    assert not any(module.training for module in copied.modules())
    assert not any(module.training for module in copied.train().modules())
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


class Body(nn.Module):
    """conv-bn-relu twice, then a linear layer; `flow` is what becomes of the parts."""

    def __init__(self, flow, change=lambda body: None):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.second, self.other = nn.Conv2d(6, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.linear, self.flat = nn.Linear(6 * 36, 5), nn.BatchNorm1d(5)
        self.flow = flow
        change(self)

    def forward(self, x: Tensor, scaled: bool = False) -> Tensor:
        x = x * 2 if scaled else x
        return self.flat(self.linear(self.flow(self, x).flatten(1)))


def straight(body, x):
    return F.relu(body.other(body.second(F.relu(body.norm(body.first(x))))))


def output_used_twice(body, x):
    x = body.first(x)
    return body.second(body.norm(x) + x)


def layer_called_twice(body, x):
    return body.other(body.second(F.pad(body.second(F.relu(body.first(x))), (1, 1, 1, 1))))


def norm_called_twice(body, x):
    return body.norm(body.second(body.norm(body.first(x))))


def weight_read(body, x):
    return body.other(body.second(F.relu(body.norm(body.first(x))))) + body.first.weight.mean()


def norm_after_relu(body, x):
    return body.second(body.norm(F.relu(body.first(x))))


def hooked(body):
    body.first.register_forward_hook(lambda layer, inputs, output: output.abs())


def without_statistics(body):
    body.norm = nn.BatchNorm2d(6, track_running_stats=False)


def known_twice(body):
    body.again = nn.Sequential(body.first, body.norm)


def tied(body):
    body.first = nn.Conv2d(6, 6, 3, padding=1)
    body.first.weight = body.second.weight


def computed_weight(body):
    nn.utils.parametrizations.weight_norm(body.first)


@pytest.mark.parametrize(
    ("body", "pairs"),
    [
        (Body(straight), [("first", "norm"), ("second", "other"), ("linear", "flat")]),
        (Body(output_used_twice), [("linear", "flat")]),
        (Body(layer_called_twice), [("linear", "flat")]),
        (Body(norm_called_twice), [("linear", "flat")]),
        (Body(weight_read), [("second", "other"), ("linear", "flat")]),
        (Body(norm_after_relu), [("linear", "flat")]),
        (Body(straight, hooked), [("second", "other"), ("linear", "flat")]),
        (Body(straight, without_statistics), [("second", "other"), ("linear", "flat")]),
        (Body(straight, known_twice), [("second", "other"), ("linear", "flat")]),
        (Body(straight, computed_weight), [("second", "other"), ("linear", "flat")]),
    ],
)
def test_only_a_batchnorm_that_alone_sees_its_layer_is_folded_and_nothing_changes(body, pairs):
    model = lived(body)
    copied = folded(model)
    assert list(copied.pairs) == pairs
    assert_same(copied, model, images(), **EXACT)


def test_layers_that_share_a_weight_each_take_their_own_norm():
    model = lived(Body(lambda body, x: straight(body, x.repeat(1, 2, 1, 1)), tied))
    copied = folded(model)
    assert len(copied.pairs) == 3
    assert_same(copied, model, images(), **EXACT)
    model.second.weight.data *= 1.5
    copied.refresh(model)
    assert_same(copied, model, images(), **EXACT)


class DependsOnPixels(Body):
    def forward(self, x):
        return super().forward(x if x.mean() > 0.5 else 1 - x)


def test_a_model_that_cannot_be_read_is_copied_as_it_is_and_says_so():
    model = lived(DependsOnPixels(straight))
    copied = folded(model)
    assert copied.pairs is None
    assert norms_left(copied) == 3
    assert_same(copied, model, images(), **EXACT)
    copied.refresh(model)
    assert_same(copied, model, 1 - images(), **EXACT)


def test_a_model_that_views_its_tensors_is_served_in_the_usual_layout():
    model = lived(Body(lambda body, x: straight(body, x).view(len(x), -1)))
    copied = folded(model)
    assert_same(copied, model, images(), **EXACT)
    assert copied.network.second.weight.is_contiguous()
    assert not folded(lived(Body(straight))).network.second.weight.is_contiguous()


def test_an_error_of_the_models_own_is_not_hidden():
    copied = folded(lived(Body(straight)))
    with pytest.raises(RuntimeError, match="expected input"):
        copied(torch.rand(2, 4, 8, 8, dtype=torch.float64))


def test_the_gradient_has_the_layout_of_the_images():
    model = lived(Body(straight))
    assert logits_and_gradient(folded(model), images())[1].is_contiguous()


def test_a_linear_layers_norm_over_another_axis_is_refused_aloud():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.norm = nn.Linear(8, 3), nn.BatchNorm1d(3)

        def forward(self, x):
            return self.norm(self.linear(x.mean(dim=3))).mean(dim=2)

    model = lived(Rows())
    with pytest.raises(UserError, match="pass fold=False"):
        folded(model)(images())
    assert_same(accelerated(model, fold=False), model, images(), **EXACT)


def test_a_refreshed_copy_follows_the_training():
    model = build(Recipe(model="resnet_v1", blocks=1), SHAPE, 10).double()
    copied = folded(model)
    x, y = images(), torch.arange(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model.train()
        model.loss(x, y).mean().backward()
        optimizer.step()
        copied.refresh(model)
        assert_same(copied, model.eval(), x, **EXACT)


def test_attacks_find_the_same_images_through_it():
    model = lived(build(Recipe(model="resnet_v1", blocks=1), SHAPE, 10))
    y = model(images()).argmax(dim=1)
    settings = {"threat": Linf(0.03), "steps": 5}
    found = pgd(accelerated(model), images(), y, **settings)
    torch.testing.assert_close(found, pgd(model, images(), y, **settings), **EXACT)


@pytest.mark.parametrize("fold", [True, False])
def test_it_computes_in_the_models_dtype_and_answers_in_the_images(fold):
    model = lived(Body(straight))
    assert_same(accelerated(model, fold=fold), model, images(), **EXACT)
    for parameters, pixels in [("float", "double"), ("bfloat16", "float"), ("double", "float")]:
        other = getattr(copy.deepcopy(model), parameters)()
        x = getattr(images(), pixels)()
        logits, gradient = logits_and_gradient(accelerated(other, fold=fold), x)
        assert logits.dtype == gradient.dtype == x.dtype
        torch.testing.assert_close(logits.double(), model(images()), rtol=0.05, atol=0.05)


def test_mixed_precision_is_near_and_leaves_float64_alone():
    model = lived(build(Recipe(model="small_cnn", head="softmax"), SHAPE, 10))
    assert_same(accelerated(model, precision="bf16-mixed"), model, images(), **EXACT)
    model, x = model.float(), images(dtype=torch.float32)
    fast = accelerated(model, precision="bf16-mixed")
    assert fast(x).dtype == torch.float32
    assert not torch.equal(fast(x), model(x))
    assert_same(fast, model, x, rtol=0.05, atol=0.05)


def test_precisions_have_the_names_of_lightning_fabric():
    with pytest.raises(UserError, match=r"unknown precision 'bf16': choose from 32-true, bf16-mixed"):
        accelerated(Body(straight), precision="bf16")


def test_weights_changed_later_do_not_reach_the_copy():
    model = lived(Body(straight))
    fast, before = accelerated(model), model(images()).detach()
    nn.init.zeros_(model.linear.weight)
    torch.testing.assert_close(fast(images()), before, **EXACT)


def test_a_plain_function_is_called_as_it_is():
    def model(x):
        assert x.dtype == torch.float64
        return x.flatten(1)[:, :4]

    assert_same(accelerated(model, compile=True), model, images(), rtol=0, atol=0)


def test_a_module_that_cannot_be_copied_is_attacked_as_it_is_with_a_warning():
    model = lived(Body(straight))
    model.lock = threading.Lock()
    with pytest.warns(UserWarning, match="Body cannot be copied .*lock.*; it is attacked as it is"):
        fast = accelerated(model)
    assert_same(fast, model, images(), **EXACT)


def test_compiling_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="there is no no-such-compiler: install it or do not compile"):
        accelerated(Body(straight), compile=True)


@pytest.mark.slow
@pytest.mark.parametrize("flow", [straight, lambda body, x: straight(body, x).view(len(x), -1)])
def test_compiled_once_for_batches_of_all_sizes_and_equal_to_the_model(flow):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    model = lived(Body(flow), torch.float32)
    fast = accelerated(model, compile=True)
    for count in (20, 1, 16, 3, 17, 28, 64):
        x = images(count, torch.float32)
        assert_same(fast, model, x, rtol=1e-4, atol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-4)
        assert logits_and_gradient(fast, x)[1].is_contiguous()
    assert counters["stats"]["unique_graphs"] == 2


class Chain(nn.Module):
    """Layers one after the other; `used` are looked at again at the end."""

    def __init__(self, *layers: nn.Module, used: tuple[int, ...] = ()):
        super().__init__()
        self.layers, self.used = nn.ModuleList(layers), used

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for layer in self.layers:
            x = layer(x)
            seen.append(x)
        return x + sum(seen[place].flatten(1).mean(dim=1, keepdim=True) for place in self.used)


def flat_chain(*, used: tuple[int, ...] = (), flatten: nn.Module | None = None) -> Chain:
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), flatten or nn.Flatten(), nn.Linear(4 * 9, 5), nn.ReLU()
    nn.init.constant_(layers[4].bias, 2.0)  # the last ReLU has something to hand on
    return Chain(*layers, used=used).double().eval()


@pytest.mark.parametrize("used", [(), (0,), (1,), (2,), (3,), (4,), (0, 4)])
def test_a_relu_overwrites_and_a_flattening_falls_away_where_nobody_else_looks(used):
    model = flat_chain(used=used)
    copied = folded(model)
    layers = copied.network.layers
    assert [layers[place].inplace for place in (1, 5)] == [0 not in used, 4 not in used]
    assert isinstance(layers[3], nn.Flatten) == (3 in used)
    assert_same(copied, model, images(), **EXACT)


def test_a_relu_overwrites_a_sum_and_not_what_was_added_to_something_else():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.relu, self.second, self.last = nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.ReLU()

        def forward(self, x):
            x = self.first(x)
            return self.last(self.second(self.relu(x)) + x).flatten(1)

    model = Residual().double()
    copied = folded(model)
    assert (copied.network.relu.inplace, copied.network.last.inplace) == (False, True)
    assert_same(copied, model, images(), **EXACT)


HOOKS = ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"]


@pytest.mark.parametrize("kind", HOOKS)
@pytest.mark.parametrize("hooked", ["convolution", "relu", "container"])
def test_what_a_hook_may_see_is_not_overwritten(hooked, kind):
    model = flat_chain()
    model.layers[0] = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model = lived(model)
    module = {"convolution": model.layers[0][0], "relu": model.layers[1], "container": model.layers[0]}[hooked]
    getattr(module, f"register_{kind}")(lambda *call: None)
    copied = folded(model)
    assert not copied.network.layers[1].inplace
    assert_same(copied, model, images(), **EXACT)


def test_layers_may_be_called_by_keyword():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.relu, self.flat, self.last = nn.Conv2d(3, 4, 8), nn.ReLU(), nn.Flatten(), nn.Linear(4, 5)

        def forward(self, x):
            return self.last(self.flat(self.relu(input=self.first(x))))

    model = Named().double()
    assert_same(folded(model), model, images(), **EXACT)


def test_a_partial_flattening_is_left_as_it_is():
    model = flat_chain(flatten=nn.Flatten(2))
    model.layers[4] = nn.Linear(9, 5).double()
    assert_same(folded(model), model, images(), **EXACT)


def test_a_flattened_layer_takes_over_new_weights():
    model = flat_chain()
    copied = folded(model)
    copied(images())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    copied.refresh(model)
    assert_same(copied, model, images(), **EXACT)


@pytest.mark.parametrize("count", [64, 65, 200])
def test_a_large_batch_is_divided_on_a_cpu_and_nobody_sees_it(count, monkeypatch):
    monkeypatch.setattr("max_mahalanobis.models.acceleration._AT_ONCE", 1)
    model, sizes = flat_chain(), []
    model.layers[4].register_forward_hook(lambda layer, given, made: sizes.append(len(made)))
    copied = folded(model)
    assert_same(copied, model, images(count), **EXACT)
    with torch.no_grad():
        torch.testing.assert_close(copied(images(count)), model(images(count)), **EXACT)
    portions = {64: [64], 65: [32, 33], 200: [50] * 4}[count]
    tried = [count, *portions] if count > 64 else []  # whether the model allows it
    assert sizes == [*tried, *portions, count, *portions, count]  # the copy and the model, twice
    with torch.no_grad():  # a copy made anew answers to the bit what the old one does: trainings are resumed
        torch.testing.assert_close(folded(model)(images(count)), copied(images(count)), rtol=0, atol=0)
    assert copied(images(0)).shape == (0, 5)


class Centered(nn.Module):
    """Logits that depend on the other images of the batch."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 5, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x - x.mean(dim=0)).flatten(1)


class Pair(nn.Module):
    """No logits, but two tensors."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 5, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x).flatten(1), x


def batch_normalized() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 5, 8), nn.BatchNorm2d(5, track_running_stats=False), nn.Flatten())


@pytest.mark.parametrize("made", [Centered, batch_normalized])
def test_a_batch_whose_images_know_each_other_is_not_divided(made, monkeypatch):
    monkeypatch.setattr("max_mahalanobis.models.acceleration._AT_ONCE", 1)
    model, x = made().double().eval(), images(200)
    copied = folded(model)
    for _ in range(2):
        assert_same(copied, model, x, **EXACT)


def test_what_cannot_be_divided_or_gains_nothing_comes_whole(monkeypatch):
    monkeypatch.setattr("max_mahalanobis.models.acceleration._AT_ONCE", 1)
    assert len(folded(Pair().double())(images(200))) == 2
    without_convolutions, unfolded, sizes = Chain(nn.Flatten(), nn.Linear(192, 5)).double(), flat_chain(), []
    for model in (without_convolutions, unfolded):
        model.layers[-1].register_forward_hook(lambda *call: sizes.append(len(call[-1])))
    accelerated(without_convolutions)(images(200))
    accelerated(unfolded, fold=False)(images(200))
    assert sizes == [200, 200]

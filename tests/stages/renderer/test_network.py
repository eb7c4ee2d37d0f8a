"""The renderer's networks."""

import numpy as np
import pytest
import torch

from moda.config import load_yaml, parse
from moda.geometry import mouth_centre
from moda.imaging.conditioning import ReferenceConditioner
from moda.imaging.windows import cut, eyes_region, eyes_window
from moda.stages.renderer.compositing import shifted
from moda.stages.renderer.inputs import NetworkConfig, RendererInput, input_channels
from moda.stages.renderer.network import build, build_discriminator, finer_weights
from moda.stages.renderer.session import RenderSession
from tests.imaging.test_warping import moved, portrait  # noqa: F401  (a fixture)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def window_inputs(batch: int = 2, side: int = 48) -> RendererInput:
    torch.manual_seed(0)
    picture = lambda: torch.rand(batch, 3, side, side) * 2 - 1  # noqa: E731
    region = torch.zeros(batch, 1, side, side)
    region[:, :, 16:32, 12:36] = 1.0
    validity = torch.rand(batch, 1, side, side)
    return RendererInput(picture(), picture(), torch.arange(batch), picture(), validity, region)


def test_paper_sizes():
    config = parse(NetworkConfig, load_yaml("configs/paper/renderer.yaml")["network"], source="paper")
    assert input_channels(config) == 19
    with torch.device("meta"):
        assert parameters(build(config)) == 76_207_296
        assert parameters(build_discriminator(config)) == 20_945_475


def test_default_is_small():
    config = parse(NetworkConfig, load_yaml("configs/default/renderer.yaml")["network"], source="default")
    assert parameters(build(config)) < 2_500_000


def test_outside_the_region_the_warp_is_untouched():
    network = build(NetworkConfig(size=128, widths=(8, 16)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    inputs = window_inputs()
    picture = network(inputs).picture
    outside = inputs.region.expand_as(picture) == 0
    assert torch.equal(picture[outside], inputs.warped[outside])
    assert not torch.allclose(picture[~outside], inputs.warped[~outside])


def test_where_the_region_is_half_at_most_half_is_painted():
    network = build(NetworkConfig(size=128, widths=(8, 16), face_change=0.0)).eval()
    inputs = window_inputs()
    inputs = inputs._replace(region=0.5 * inputs.region)
    torch.nn.init.constant_(network.paint.bias, 50.0)  # paint white, all of it
    picture = network(inputs).picture
    assert torch.allclose(picture, inputs.warped + inputs.region * (1 - inputs.warped), atol=1e-4)


@pytest.mark.parametrize("face_change", [0.0, 8.0])
def test_the_face_around_changes_by_a_few_grey_levels_and_the_mouth_by_any(face_change):
    network = build(NetworkConfig(size=128, widths=(8, 16), face_change=face_change)).eval()
    inputs = window_inputs()
    inputs = inputs._replace(warped=-torch.ones_like(inputs.warped), region=inputs.region.clone())
    inputs.region[..., 24:] *= 0.5
    torch.nn.init.constant_(network.paint.bias, 50.0)  # white over black
    changed = 127.5 * (network(inputs).picture - inputs.warped)
    mouth, around = (inputs.region.expand_as(changed) == share for share in (1.0, 0.5))
    assert changed[mouth].min() > 254
    assert (changed[around].max() <= 8.0) if face_change else (changed[around].min() > 126)


def test_around_the_eyes_paint_has_no_bound():
    network = build(NetworkConfig(size=256, widths=(8, 16), eye_widths=(8, 16), face_change=8.0)).eval()
    inputs = window_inputs()
    inputs = inputs._replace(warped=-torch.ones_like(inputs.warped), region=0.5 * inputs.region)
    changed = []
    for each in (network, network.eyes):
        torch.nn.init.constant_(each.paint.bias, 50.0)  # white over black
        changed.append((127.5 * (each(inputs).picture - inputs.warped)).max().item())
    assert changed[0] <= 8.0 and changed[1] > 126


def test_shift_moves_the_warp_and_learns():
    inputs = window_inputs()
    ramp = torch.linspace(-1, 1, 48).expand(2, 3, 48, 48).contiguous()
    moved = shifted(ramp, torch.tensor([2.0, 0.0])[None, :, None, None].expand(2, 2, 48, 48))
    assert torch.allclose(moved[..., 4:40], ramp[..., 6:42], atol=1e-5), "2 pixels right: what is seen lies there"
    assert torch.equal(shifted(inputs.warped, torch.zeros(2, 2, 48, 48)), inputs.warped)
    network = build(NetworkConfig(size=128, widths=(8, 16), shift=3.0))
    painting = network(inputs)
    assert painting.shift.abs().max() <= 3.0
    assert (painting.shift[inputs.region.expand_as(painting.shift) == 0] == 0).all()
    painting.picture.square().mean().backward()
    assert network.shift.weight.grad.abs().max() > 0


def test_time_reaches_the_picture_only_with_tpe():
    for temporal in (True, False):
        torch.manual_seed(1)
        network = build(NetworkConfig(size=128, widths=(8, 16), temporal=temporal)).eval()
        inputs = window_inputs()
        later = inputs._replace(frame=inputs.frame + 900)
        assert torch.equal(network(inputs).picture, network(later).picture) != temporal


@pytest.mark.parametrize(("wrap", "time"), [(False, 7.0), (True, 7.0 - 2 * np.pi)])
def test_time_goes_on_for_the_paper_and_comes_round_for_ours(wrap, time):
    config = NetworkConfig(size=128, wrap_time=wrap)
    inputs = window_inputs()._replace(frame=torch.tensor([7000, 7000]))
    (planes,) = inputs.time(config, 4, 6)
    assert planes.shape == (2, 13, 4, 6)
    assert torch.allclose(planes[:, 0], torch.tensor(time))


def test_a_size_that_does_not_fold_is_refused():
    for given in ({"size": 100}, {"size": 256, "fold": 16}):
        with pytest.raises(ValueError, match="wanted a multiple of"):
            NetworkConfig(**given)
    with pytest.raises(ValueError, match="fold 3, wanted a power of 2"):
        NetworkConfig(fold=3)


@pytest.mark.parametrize("folds", [(2, 4), (2, 8), (4, 8)])
def test_weights_for_a_finer_size_paint_the_same(folds):
    """The inner layers see the same values; the layers of full resolution look at finer pixels."""
    fold, finer = folds
    times = finer // fold
    torch.manual_seed(0)
    config = NetworkConfig(size=256, widths=(8, 16), eye_widths=(8, 16), shift=3.0, fold=fold)
    network = build(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    larger = build(config.model_copy(update={"size": 256 * times, "fold": finer, "shift": 3.0 * times})).eval()
    larger.load_state_dict(finer_weights(network.state_dict(), config, finer))
    inputs = window_inputs(side=48)
    enlarge = lambda x: x.repeat_interleave(times, -1).repeat_interleave(times, -2)  # noqa: E731
    fine = RendererInput(*(x if x.dim() < 4 else enlarge(x) for x in inputs))
    for coarse, made in ((network, larger), (network.eyes, larger.eyes)):
        seen = []
        for each in (coarse, made):
            each.up[-1].register_forward_hook(lambda module, given, out, seen=seen: seen.append(out))
        moved, finely = coarse(inputs).shift, made(fine).shift
        assert torch.allclose(*seen, rtol=1e-4, atol=1e-4), "what the inner layers make"
        assert torch.allclose(finely[..., :: 2 * times, :: 2 * times].abs().max(), times * moved.abs().max(), rtol=0.2)
        detail = torch.rand(1, 16, 6, 6)
        assert torch.allclose(made.finer[-1](detail), detail), "a new layer passes on what it gets"


@pytest.mark.parametrize("shift", [0.0, 4.0])
@pytest.mark.parametrize("size", [128, 192])
def test_session_renders_at_trained_and_other_sizes(portrait, size, shift):  # noqa: F811
    torch.manual_seed(0)
    network = build(NetworkConfig(size=128, widths=(8, 16), shift=shift)).eval()
    landmarks = np.concatenate([moved(portrait, yaw=angle) for angle in (-8.0, 0.0, 8.0)])
    torso = np.repeat(portrait.torso[None], 3, axis=0)
    frames = network.open(portrait, "cpu", size).render(landmarks, torso, 0)
    assert frames.shape == (3, size, size, 3)
    assert frames.dtype == np.uint8
    assert np.abs(frames[0].astype(int) - frames[2]).mean() > 1, "the head turns"
    corner = slice(0, size // 8)
    assert np.abs(frames[0][corner, corner].astype(int) - frames[2][corner, corner]).max() <= 1, (
        "the background does not"
    )


@pytest.mark.parametrize("size", [128, 192])
@pytest.mark.parametrize("on_device", [False, True])
def test_the_eyes_are_refined_in_their_window_alone(portrait, size, on_device):  # noqa: F811
    """A network that paints its eyes' region black changes that and nothing else; what it does to the mouth stays."""
    torch.manual_seed(0)
    network = build(NetworkConfig(size=128, widths=(8, 16), eye_widths=(8,))).eval()
    without = build(NetworkConfig(size=128, widths=(8, 16))).eval()
    without.load_state_dict({name: t for name, t in network.state_dict().items() if not name.startswith("eyes.")})
    torch.nn.init.zeros_(network.eyes.paint.weight)
    network.eyes.paint.bias.data = torch.tensor([-50.0, -50.0, -50.0, 50.0])
    landmarks, torso = swaying(portrait, 2)
    frames, plain = (
        RenderSession(each, each.config, portrait, torch.device("cpu"), size, warp_on_device=on_device)
        .render(landmarks, torso, 5)
        .astype(int)
        for each in (network, without)
    )
    for frame, other, points in zip(frames, plain, landmarks, strict=True):
        window = eyes_window(points, size)
        region = eyes_region(points, size, window)
        inside = np.zeros((size, size))
        cut(inside, window)[:] = region
        changed = np.abs(frame - other).max(axis=2)
        assert changed[inside == 0].max() == 0
        eyes = points[[159, 386], :2] * size / 512
        assert all(frame[int(y), int(x)].max() < 10 for x, y in eyes)
        assert changed[inside > 0].mean() > 5


def test_what_is_moved_at_the_trained_size_is_moved_as_far_in_the_face_at_another(portrait):  # noqa: F811
    """A network that moves all it may by 3 pixels of 128 moves by 6 of 256."""
    network = build(NetworkConfig(size=128, widths=(8, 16), shift=3.0)).eval()
    torch.nn.init.zeros_(network.shift.weight)
    torch.nn.init.constant_(network.shift.bias, 50.0)
    torch.nn.init.constant_(network.paint.bias, -50.0)  # paint nothing
    torso = portrait.torso[None]
    moved_by = {}
    for size in (128, 256):
        frame = network.open(portrait, "cpu", size).render(portrait.landmarks[None], torso, 0)[0].astype(float)
        still = ReferenceConditioner(portrait, size, warp=True).frames(portrait.landmarks[None], torso)[0]
        x, y = (mouth_centre(portrait.landmarks)[:2] * size / 512).round().astype(int)
        side = size // 16
        seen = frame[y - side : y + side, x - side : x + side]
        error = [
            np.abs(still.picture[y - side + by : y + side + by, x - side + by : x + side + by] - seen).mean()
            for by in range(12)
        ]
        moved_by[size] = int(np.argmin(error))
    assert moved_by == {128: 3, 256: 6}


def test_rendering_in_batches_equals_rendering_at_once(portrait):  # noqa: F811
    network = build(NetworkConfig(size=128, widths=(8, 16))).eval()
    landmarks = np.concatenate([moved(portrait, pitch=angle) for angle in (-5.0, 0.0, 5.0)])
    torso = np.repeat(portrait.torso[None], 3, axis=0)
    session = network.open(portrait)
    together = session.render(landmarks, torso, 10)
    apart = np.concatenate([session.render(landmarks[i : i + 1], torso[i : i + 1], 10 + i) for i in range(3)])
    assert np.abs(together.astype(int) - apart).max() <= 1


def swaying(portrait, frames):  # noqa: F811
    landmarks = np.concatenate([moved(portrait, yaw=angle) for angle in np.linspace(-12, 12, frames)])
    return landmarks, np.repeat(portrait.torso[None], frames, axis=0)


@pytest.mark.parametrize("size", [128, 192])
def test_a_warp_on_the_device_renders_the_same_frames(portrait, size):  # noqa: F811
    """Within one grey level on 99.9 % of the pixels, as a GPU does it, here with tensors of the CPU."""
    torch.manual_seed(0)
    network = build(NetworkConfig(size=128, widths=(8, 16), shift=4.0)).eval()
    landmarks, torso = swaying(portrait, 3)
    here, there = (
        RenderSession(network, network.config, portrait, torch.device("cpu"), size, warp_on_device=on_device)
        for on_device in (False, True)
    )
    frames, others = here.render(landmarks, torso, 5), there.render(landmarks, torso, 5)
    assert others.shape == frames.shape and others.dtype == np.uint8
    assert (np.abs(frames.astype(int) - others).max(axis=3) <= 1).mean() >= 0.999
    assert np.abs(frames[0].astype(int) - frames[2]).mean() > 1, "frames differ, so their order counts"


@pytest.mark.parametrize("warp", [True, False])
def test_a_stream_on_a_gpu_keeps_the_order_and_works_ahead(portrait, warp, monkeypatch):  # noqa: F811
    """The queue of a GPU session, on tensors of the CPU: batches of 2 of 9 frames."""
    network = build(NetworkConfig(size=256, widths=(8, 16), width=4, warp=warp)).eval()
    landmarks, torso = swaying(portrait, 9)
    session = RenderSession(network, network.config, portrait, torch.device("cpu"), 256, warp_on_device=True)
    batches = [(landmarks[start : start + 2], torso[start : start + 2], start) for start in range(0, 9, 2)]
    asked: list[int] = []

    def asking():
        for batch in batches:
            asked.append(batch[2])
            yield batch

    expected = [session.render(*batch) for batch in batches]
    assert all(np.array_equal(*pair) for pair in zip(session.stream(asking()), expected, strict=True))
    assert asked == [0, 2, 4, 6, 8]
    asked.clear()
    monkeypatch.setattr(session, "_works_ahead", True)
    stream = session.stream(asking())
    assert np.array_equal(next(stream), expected[0])
    assert asked == [0, 2, 4, 6], "two batches started and two being prepared"
    assert all(np.array_equal(*pair) for pair in zip(stream, expected[1:], strict=True))
    assert list(session.stream(iter(()))) == []


@pytest.mark.parametrize("cores", [1, 2])
def test_a_stream_on_a_cpu_renders_a_batch_a_core(portrait, cores, monkeypatch):  # noqa: F811
    network = build(NetworkConfig(size=128, widths=(8, 16))).eval()
    landmarks, torso = swaying(portrait, 9)
    session = network.open(portrait)
    batches = [(landmarks[start : start + 2], torso[start : start + 2], start) for start in range(0, 9, 2)]
    expected = [session.render(*batch) for batch in batches]
    asked, threads, before = [], set(), torch.get_num_threads()
    render = session.render

    def watched(*batch):
        threads.add(torch.get_num_threads())
        return render(*batch)

    def asking():
        for batch in batches:
            asked.append(batch[2])
            yield batch

    monkeypatch.setattr(session, "render", watched)
    torch.set_num_threads(cores)
    try:
        stream = session.stream(asking())
        assert np.array_equal(next(stream), expected[0])
        assert asked == list(range(0, 2 * cores + 1, 2)), "as many batches ahead as there are cores"
        assert all(np.array_equal(*pair) for pair in zip(stream, expected[1:], strict=True))
        assert threads == {1} and torch.get_num_threads() == cores
        stream = session.stream(asking())
        next(stream)
        stream.close()
        assert torch.get_num_threads() == cores
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_fault_in_a_prepared_batch_reaches_the_caller(portrait, on_gpu, monkeypatch):  # noqa: F811
    network = build(NetworkConfig(size=128, widths=(8, 16))).eval()
    session = network.open(portrait)
    monkeypatch.setattr(session, "_works_ahead", on_gpu)
    landmarks, torso = swaying(portrait, 2)
    with pytest.raises(ValueError, match="shorter"):
        list(session.stream([(landmarks, torso, 0), (landmarks, torso[:1], 2)]))

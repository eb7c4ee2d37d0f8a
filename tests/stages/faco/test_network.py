from pathlib import Path

import pytest
import torch

from moda.config import load_yaml, parse
from moda.landmarks import EYES, LIPS, N_EYES, N_LANDMARKS, N_LIPS
from moda.stages.faco.network import FaCoDiscriminator, FaCoNet, NetworkConfig, RestingFace, normalizer

CONFIGS = Path(__file__).parents[3] / "configs"
REST = sorted(set(range(478)) - set(LIPS) - set(EYES))


def config_of(kind: str) -> NetworkConfig:
    path = CONFIGS / kind / "faco.yaml"
    return parse(NetworkConfig, load_yaml(path)["network"], source=str(path), section="network")


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def inputs(batch: int = 2, frames: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(batch, frames, 40, 3), torch.randn(batch, frames, 60, 3), torch.randn(batch, 478, 3)


@pytest.mark.parametrize("kind", ["paper", "default"])
def test_parameters(kind: str) -> None:
    generator = FaCoNet(config_of(kind))
    assert count(generator) == 1_900_442
    assert count(FaCoDiscriminator(config_of(kind), generator.normalizers)) == 792_705


def test_layers_have_no_norm_and_a_leak_of_a_fifth() -> None:
    kinds = {type(m) for m in FaCoNet(NetworkConfig()).decoder.layers}
    assert kinds == {torch.nn.Linear, torch.nn.LeakyReLU}


def test_paper_predicts_all_points_and_default_keeps_the_given_ones() -> None:
    lips, eyes, subject = inputs()
    torch.manual_seed(0)
    free = FaCoNet(config_of("paper")).eval()
    kept = FaCoNet(config_of("default")).eval()
    kept.load_state_dict(free.state_dict())
    predicted, face = free(lips, eyes, subject), kept(lips, eyes, subject)
    assert face.shape == (2, 3, 478, 3)
    assert torch.equal(face[:, :, list(LIPS)], lips)
    assert torch.equal(face[:, :, list(EYES)], eyes)
    torch.testing.assert_close(face[:, :, REST], predicted[:, :, REST])
    assert (predicted[:, :, list(LIPS)] - lips).abs().max() > 0.1


def test_frames_do_not_see_one_another() -> None:
    lips, eyes, subject = inputs(frames=6)
    generator = FaCoNet(NetworkConfig(width=8)).eval()
    whole = generator(lips, eyes, subject)
    torch.testing.assert_close(whole[:, 2:4], generator(lips[:, 2:4], eyes[:, 2:4], subject))


def test_units_are_physical() -> None:
    lips, eyes, subject = inputs()
    generator = FaCoNet(NetworkConfig(width=8, keep_inputs=False)).eval()
    before = generator(lips, eyes, subject)
    for name in ("lips", "eyes", "subject", "face"):
        normalizer(generator.normalizers, name).mean.fill_(7.0)
        normalizer(generator.normalizers, name).std.fill_(2.0)
    after = generator(lips * 2 + 7, eyes * 2 + 7, subject * 2 + 7)
    torch.testing.assert_close(after, before * 2 + 7, rtol=1e-3, atol=1e-3)


def test_discriminator_sees_every_input_in_the_generators_scale() -> None:
    lips, eyes, subject = inputs()
    generator = FaCoNet(NetworkConfig(width=8))
    discriminator = FaCoDiscriminator(NetworkConfig(width=8), generator.normalizers)
    face = torch.randn(2, 3, 478, 3)
    given = [lips, eyes, face, subject]
    logits = discriminator(*given)
    assert logits.shape == (2, 3, 1)
    for i in range(4):
        changed = [value + 1 if j == i else value for j, value in enumerate(given)]
        assert (discriminator(*changed) - logits).abs().max() > 1e-4
    normalizer(generator.normalizers, "face").std.fill_(2.0)
    torch.testing.assert_close(discriminator(lips, eyes, 2 * face, subject), logits)


def test_no_weight_is_idle() -> None:
    lips, eyes, subject = inputs()
    generator = FaCoNet(NetworkConfig(width=8))
    discriminator = FaCoDiscriminator(NetworkConfig(width=8), generator.normalizers)
    discriminator(lips, eyes, generator(lips, eyes, subject), subject).sum().backward()
    for module in (generator, discriminator):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_without_faco_only_what_is_given_moves() -> None:
    lips, eyes = torch.randn(2, 5, N_LIPS, 3), torch.randn(2, 5, N_EYES, 3)
    face = RestingFace()(lips, eyes, torch.randn(2, N_LANDMARKS, 3))
    assert face.shape == (2, 5, N_LANDMARKS, 3)
    torch.testing.assert_close(face[:, :, list(LIPS)], lips)
    torch.testing.assert_close(face[:, :, list(EYES)], eyes)
    others = [point for point in range(N_LANDMARKS) if point not in {*LIPS, *EYES}]
    assert face[:, :, others].eq(0).all()


@pytest.mark.parametrize("name", ["lips", "eyes", "face", "subject"])
def test_the_discriminator_looks_at_all_it_is_given(name: str) -> None:
    lips, eyes, subject = inputs()
    given = {"lips": lips, "eyes": eyes, "face": torch.randn(2, 3, N_LANDMARKS, 3), "subject": subject}
    discriminator = FaCoDiscriminator(NetworkConfig(width=8), FaCoNet(NetworkConfig(width=8)).normalizers)
    changed = {**given, name: given[name] + 1}
    assert ((discriminator(**changed) - discriminator(**given)).abs() > 1e-4).all()


@pytest.mark.parametrize("name", ["lips", "eyes", "subject"])
def test_the_generator_looks_at_all_it_is_given(name: str) -> None:
    given = dict(zip(("lips", "eyes", "subject"), inputs(), strict=True))
    generator = FaCoNet(NetworkConfig(width=8))
    changed = generator(**{**given, name: given[name] + 1})
    assert ((changed - generator(**given))[:, :, REST].abs().amax(dim=(-1, -2)) > 1e-4).all()

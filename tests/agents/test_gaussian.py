"""The Gaussian against torch's own."""

import torch
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as reference_kl

from metarl.agents.gaussian import Gaussian, kl_divergence, noise_log_prob


def draw(seed: int) -> tuple[Gaussian, Independent]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(5, 7, 3, generator=generator, dtype=torch.float64)
    log_std = torch.randn(5, 1, 3, generator=generator, dtype=torch.float64)
    return Gaussian(mean, log_std), Independent(Normal(mean, log_std.exp().expand(5, 7, 3)), 1)


def test_density_entropy_and_divergence_are_torchs():
    (p, p_reference), (q, q_reference) = draw(0), draw(1)
    action = torch.randn(5, 7, 3, dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(action), p_reference.log_prob(action))
    torch.testing.assert_close(p.entropy(), p_reference.entropy())
    torch.testing.assert_close(kl_divergence(p, q), reference_kl(p_reference, q_reference))
    assert (kl_divergence(p, p) == 0).all()


def test_a_sample_has_its_noise_and_its_density():
    gaussian, reference = draw(2)
    noise = torch.randn(5, 7, 3, dtype=torch.float64)
    action = gaussian.mean + gaussian.log_std.exp() * noise
    torch.testing.assert_close((action - gaussian.mean) / gaussian.log_std.exp(), noise)
    torch.testing.assert_close(noise_log_prob(noise, gaussian.log_std), reference.log_prob(action))

from sightsound.testing import conformance

test_gabor_conforms = conformance("gabor.acme")

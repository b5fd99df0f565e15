from sightsound.testing import conformance

test_logspec_conforms = conformance("logspec.acme")

from sightsound.testing import conformance

test_mfcc_conforms = conformance("mfcc.librosa")

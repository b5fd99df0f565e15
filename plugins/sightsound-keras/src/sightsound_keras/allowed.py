"""The names that an architecture may have: those of what computes with tensors, and with nothing else."""

from __future__ import annotations

_LAYERS = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveMaxPooling1D
AdaptiveMaxPooling2D Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D AveragePooling2D
AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization Bidirectional CenterCrop Concatenate Conv1D
Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D Convolution1D Convolution2D
Convolution2DTranspose Convolution3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot
Dropout ELU EinsumDense Embedding Flatten GRU GaussianDropout GaussianNoise GlobalAveragePooling1D
GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D
GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
GroupQueryAttention Identity InputLayer LSTM LayerNormalization LeakyReLU Masking MaxPool1D MaxPool2D MaxPool3D
MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MultiHeadAttention Multiply Normalization
PReLU Permute RMSNormalization RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation
RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape Resizing STFTSpectrogram SeparableConv1D
SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN Softmax SpatialDropout1D SpatialDropout2D
SpatialDropout3D Subtract TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
ZeroPadding2D ZeroPadding3D
"""
LAYERS = frozenset(_LAYERS.split())
"""The layers of `keras.layers` that compute with what they get, and with numbers of their own."""

_OPERATIONS = """
Abs Absolute Add AveragePool BroadcastTo Clip Concatenate Divide Elu Exp ExpandDims Flip Gelu GetItem HardSigmoid
HardSilu LeakyRelu Log Log1p LogSoftmax Matmul Max MaxPool Maximum Mean Min Minimum Multiply Negative Pad Power
Relu Relu6 Repeat Reshape Rsqrt Selu Sigmoid Silu Softmax Softplus Split Sqrt Square Squeeze Stack Std Subtract
Sum Tanh Transpose TrueDivide Var
"""
OPERATIONS = frozenset(_OPERATIONS.split())
"""The operations of `keras.ops` that a network may have between layers, such as `x / 255`."""

_ACTIVATIONS = """
celu elu exponential gelu glu hard_sigmoid hard_silu hard_swish leaky_relu linear log_sigmoid log_softmax mish relu
relu6 selu sigmoid silu softmax softplus softsign swish tanh
"""
ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""The functions that `activation` may name."""

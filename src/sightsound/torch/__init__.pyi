from .embedder import TorchEmbedder as TorchEmbedder
from .export import exported_module as exported_module
from .export import onnx_program as onnx_program
from .running import choose_device as choose_device
from .running import forward as forward
from .running import import_torchvision as import_torchvision
from .running import state_dict as state_dict

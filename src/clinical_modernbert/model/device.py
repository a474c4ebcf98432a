"""A device's name -> the device, or an error that says what there is."""

import torch

from clinical_modernbert.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA where there is a device, else the CPU.

    Raises:
        ConfigError: torch knows no such device, or this machine has none.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ConfigError(f"device {name!r} is not to be had here. Use cpu or auto; `cmbert doctor` lists the devices.") from None
    return device

"""The ten classes of ESC-10 (K. J. Piczak) as classes of AudioSet."""

KINDS = {
    "001 - Dog bark": "Dog",
    "002 - Rain": "Rain",
    "003 - Sea waves": "Ocean",
    "004 - Baby cry": "Crying, sobbing",
    "005 - Clock tick": "Clock",
    "006 - Person sneeze": "Sneeze",
    "007 - Helicopter": "Helicopter",
    "008 - Chainsaw": "Chainsaw",
    "009 - Rooster": "Chicken, rooster",
    "010 - Fire crackling": "Fire",
}
"""The expected class for the folder of a clip."""

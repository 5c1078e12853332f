"""The paper's theory of features: where losses are constant, how densely features lie, how they move."""

from .contours import (
    CONVENTIONS,
    Plane,
    QuadraticClass,
    Sphere,
    contour,
    from_linear,
    log_density_gsce,
    log_density_mmc,
    loss_range,
    pair_loss,
)
from .shells import (
    Shells,
    equal_count_edges,
    log_ball_volume,
    log_core_density,
    log_neighbor_density,
    log_shell_volume,
    log_sphere_area,
    shell_density,
)
from .spread import angles_to_own, class_means, mean_center_distance, own_and_other_distances
from .toys import Pull, Walk, detour, pull_of_losses, walk

__all__ = [
    "CONVENTIONS",
    "Plane",
    "Pull",
    "QuadraticClass",
    "Shells",
    "Sphere",
    "Walk",
    "angles_to_own",
    "class_means",
    "contour",
    "detour",
    "equal_count_edges",
    "from_linear",
    "log_ball_volume",
    "log_core_density",
    "log_density_gsce",
    "log_density_mmc",
    "log_neighbor_density",
    "log_shell_volume",
    "log_sphere_area",
    "loss_range",
    "mean_center_distance",
    "own_and_other_distances",
    "pair_loss",
    "pull_of_losses",
    "shell_density",
    "walk",
]

"""FLOP and bytes of layers and passes on one chip after sharding; know no hardware."""

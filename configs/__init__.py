"""The config files; a wheel carries them as `boxrefine_d2.configs`."""

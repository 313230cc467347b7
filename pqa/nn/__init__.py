"""Everything that imports torch: models, losses, backbones. Serving never imports this package."""

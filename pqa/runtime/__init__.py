"""From a picture to its row of the answer, without torch.

`store` opens model files, `predictor` takes one picture through faces, views, graph and measurements, `joint` compares a
set, `assess` is the Python face of it all. A picture's score is the same to the last bit whatever calls this.
"""

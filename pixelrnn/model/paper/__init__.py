"""The two-dimensional models of van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks" (2016).

raster.py            the common part of the first three models
network.py           their stack of residual layers
layers.py            masked convolutions, and the layers' protocol
lines.py             an LSTM over lines of an image
row_lstm.py          Row LSTM
diagonal_bilstm.py   Diagonal BiLSTM
pixelcnn.py          PixelCNN
multiscale.py        coarse to fine
"""

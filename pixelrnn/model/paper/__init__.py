"""The two-dimensional models of van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks" (2016).

raster.py            the common part: the contract of a layer, masked convolutions, the network of residual blocks
lines.py             an LSTM over lines of an image
row_lstm.py          Row LSTM
diagonal_bilstm.py   Diagonal BiLSTM
pixelcnn.py          PixelCNN
multiscale.py        coarse to fine
"""

"""The grids (fixed-point formats) of the coding path: an integer n on a grid of k bits stands for n * 2^-k."""

STREAM_BITS = 7  # residual streams of the decoder, gates, tanh units: 1/128
STREAM_MAX = 1024  # clamp of a residual stream: +-8
UNIT = 1 << STREAM_BITS  # 1.0 on the stream's grid, the largest output of a gate or of a tanh unit

PRE_BITS = 5  # pre-activations: 1/32
PRE_MAX = 256  # clamp: +-8, where tanh has long been flat

RELU_BITS = 5  # rectified features of encoder, conditioning map and output head: 1/32
RELU_MAX = 255  # clamp: just under 8

LOGIT_BITS = 5  # logits of pixels and mixture components, in nats: 1/32
LOGIT_MAX = 512  # clamp: +-16 nats

LATENT_BITS = 3  # codes and latents: delta = 1/8 of the posterior's standard deviation
CODE_MAX = 64  # clamp of a code: +-8
OFFSET_MAX = 36  # the posterior is cut at +-4.5 standard deviations
LATENT_MAX = CODE_MAX + OFFSET_MAX  # a latent is a code plus an offset
LATENT_LEVELS = 2 * LATENT_MAX + 1

WIDTH_BITS = 3  # widths of mixture components: log2(sigma) on a grid of 1/8 octave
WIDTH_MIN = -4  # sigma = 0.71; below the posterior's own deviation no mixture component is needed
WIDTH_MAX = 27  # sigma = 10.4
WIDTHS = WIDTH_MAX - WIDTH_MIN + 1

FREQUENCY_BITS = 20  # frequencies: the largest entry of a table is 2^20, the smallest 1

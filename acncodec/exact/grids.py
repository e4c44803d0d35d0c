"""The grids (fixed-point formats) of the coding path: an integer n on a grid of k bits stands for n * 2^-k."""

STREAM_BITS = 7  # residual streams of the decoder, gates, tanh units: 1/128
STREAM_MAX = 1024  # clamp of a residual stream: +-8
UNIT = 1 << STREAM_BITS  # 1.0 on the stream's grid, the largest output of a gate or of a tanh unit

PRE_BITS = 5  # pre-activations: 1/32
PRE_MAX = 256  # clamp: +-8, where tanh is saturated

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

BASE = 16  # a value of 256 levels is coded as two digits of this base, each under few frequencies
FREQUENCY_BITS = 20  # frequencies: the largest entry of a table is 2^20, the smallest 1

TONE_BITS = 2  # values that a logistic component is centred on: 1/4 of a level
TONE_UNIT = 1 << (LOGIT_BITS - TONE_BITS)  # levels that 1.0 at the output of the colour head stands for
SPREAD_BITS = 5  # widths of logistic components: log2(scale in levels) on a grid of 1/32 octave
SPREAD_MIN = -4 << SPREAD_BITS  # 1/16 of a level: nearly certain
SPREAD_MAX = 6 << SPREAD_BITS  # 64 levels
SPREADS = SPREAD_MAX - SPREAD_MIN + 1
SLOPE_BITS = 10  # arguments of the logistic function: 1/1024
SLOPE_MAX = 16 << SLOPE_BITS  # beyond +-16 it is saturated
STEEPNESS_BITS = 4  # table of 1 / scale: steps of SLOPE_BITS per quarter level, with 4 more bits
CUMULATIVE_BITS = 22  # the logistic function's largest value is 2^22
FREQUENCY_FLOOR = 1 << 16  # added to frequencies from logistics, so that no digit is impossible: 2^-26 of the total

"""Every limit of what a reader takes from an archive, in one place; a writer keeps to the same ones.

Beside them, no reader allocates memory because a number in the archive says so: the bytes must be there first.
"""

# The container
MAX_SECTIONS = 2**20  # to read a table of so many takes about 150 MB
MAX_SECTION_BYTES = 2**40  # offsets stay far below 2^63, whatever the table says

# Entries
MAX_ENTRIES = 2**24  # files that come back: lists of them stay below a few GB
MAX_FOLDERS = MAX_ENTRIES  # a folder is worth a name only if it holds an entry
MAX_EMPTY = MAX_ENTRIES  # an empty directory costs the reader as much as a file
MAX_NAME_BYTES = 2**32  # of all names together

# Parts
MAX_PARTS = 2**20  # a manifest lists them

# Models
MAX_MODELS = 16  # each is up to 2^28 bytes in memory
MAX_MODEL_NAME_BYTES = 255  # it is printed in a line
MAX_CARRIED_BYTES = 2**26  # of a model that an archive carries, unpacked: a hundred times the bundled ones

# Classes of pictures
MAX_CLASSES = 2**20  # a list of so many takes a few hundred MB in memory
MAX_CLASSES_BYTES = 2**28  # of section FORM unpacked: LZMA can make so much of 40 kB
MAX_FORM_BYTES = 2**24  # a picture's metadata: more is better kept as a file
MAX_PLANES = 4  # a picture has at most four channels
MAX_PIXELS = 2**26  # of a picture: a decoder holds several arrays of as many samples
MAX_ELEMENT_PIXELS = 2**16  # of a tile, or of a plane that is coded whole: bounds the memory and the time of a step
MAX_TILE = 2**8  # side of a tile, which is an element
MAX_TILES = 2**18  # of a plane: they are listed
MAX_ALL_PIXELS = 2**36  # of all pictures together: bounds the time for which a reader can be kept busy

# Blocks
MAX_LANES = 512  # decoded side by side: bounds the memory of a step
MAX_STEP_PIXELS = 2**20  # of all lanes of a step together, where there is more than one: the same
MAX_GROUPS = 2**20  # of elements in a block: four planes of many sizes
MAX_SEED_WORDS = 2**26  # the seed is generated: 256 MB
MAX_BLOCK_SAMPLES = 2**28  # of the pictures of a block together: it is decoded as a whole

# Stored files
MAX_DICTIONARY_BITS = 26  # of LZMA: as xz -9, 64 MiB that a reader must set aside
MAX_STORED_BYTES = 2**40  # of a section FILE's items unpacked: more than any disk holds in one piece, less than 2^63

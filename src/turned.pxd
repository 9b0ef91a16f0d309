"""Images turned to channels last by all threads before they compute, a few images in each round (Division.first).

The turned images (images_of, D H W, pitch_of) lie at the beginning of Arrays.shared. With channels_last there is nothing
to do.
"""
from kernel cimport AnyTask, Arrays, Division, divided_in_rounds
from micro.geometry cimport Geometry, ceil_div, padded
from micro.pack cimport turn
from micro.simd cimport LANES, real

cdef enum:
    TURNED_BYTES = 1 << 21      # of the images in a round, unless one alone takes more
    PIXELS = 512                # of a piece, in whole rows
    CHANNELS = 64


cdef inline Py_ssize_t pitch_of(const Geometry* g) noexcept nogil:
    """Numbers from one pixel to the next. Pixels a power of two apart would share few sets of L1."""
    return g.G * g.C + (LANES if g.G * g.C % 256 == 0 else 0)


cdef inline Py_ssize_t image_size(const Geometry* g) noexcept nogil:
    return g.D * g.H * g.W * pitch_of(g)


cdef inline Py_ssize_t images_of(const Geometry* g) noexcept nogil:
    """Images of one round: all, or a power of two, which threads share well."""
    cdef Py_ssize_t images = 1
    if g.channels_last:
        return g.N
    while images < g.N and 2 * images * image_size(g) * <Py_ssize_t>sizeof(real) <= TURNED_BYTES:
        images *= 2
    return min(images, g.N)


cdef inline Py_ssize_t turned_size(const Geometry* g) noexcept nogil:
    """Numbers of the turned images, in whole lines, with a vector that is read, but not used, behind the last pixel."""
    return 0 if g.channels_last else padded(images_of(g) * image_size(g) + LANES, 64)


cdef inline Py_ssize_t rows_of(const Geometry* g) noexcept nogil:
    """Rows of one piece."""
    return max(<Py_ssize_t>1, PIXELS // max(<Py_ssize_t>1, g.W))


cdef inline Py_ssize_t pieces_of(const Geometry* g) noexcept nogil:
    """Pieces that each image is turned in: some rows of some channels each."""
    return 0 if g.channels_last else ceil_div(g.D * g.H, rows_of(g)) * ceil_div(g.G * g.C, CHANNELS)


cdef inline void turn_piece(const Geometry* g, const Arrays* a, Py_ssize_t piece) noexcept nogil:
    """Piece number `piece`, which counts through all images."""
    cdef Py_ssize_t blocks = ceil_div(g.G * g.C, CHANNELS), n = piece // pieces_of(g), pitch = pitch_of(g)
    cdef Py_ssize_t c = piece % blocks * CHANNELS, count = min(<Py_ssize_t>CHANNELS, g.G * g.C - c)
    cdef Py_ssize_t row = piece % pieces_of(g) // blocks * rows_of(g), stop = min(g.D * g.H, row + rows_of(g))
    cdef const real* x = a.x + n * g.x_n + c * g.x_c
    cdef real* turned = <real*>a.shared + n % images_of(g) * image_size(g) + c
    if g.x_h == g.W and (g.D == 1 or g.x_d == g.H * g.W):
        turn(x + row * g.W, g.x_c, count, (stop - row) * g.W, turned + row * g.W * pitch, pitch)
        return
    while row < stop:
        turn(x + row // g.H * g.x_d + row % g.H * g.x_h, g.x_c, count, g.W, turned + row * g.W * pitch, pitch)
        row += 1


cdef inline bint turn_task(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task before a round: a piece, if there are so many."""
    if task < g.N * pieces_of(g):
        turn_piece(g, a, task)
    return False


cdef inline Py_ssize_t turned_bytes(const Geometry* g) noexcept nogil:
    """What all threads need together, where nothing but the images is shared."""
    return padded(turned_size(g) * sizeof(real), 64)


cdef inline Division divided_when_turned(const Geometry* g, AnyTask one, Py_ssize_t tasks) noexcept nogil:
    """`tasks` tasks of each image, which see it turned."""
    return divided_in_rounds(<AnyTask>turn_task, images_of(g) * pieces_of(g), one, images_of(g) * tasks, g.N * tasks)

"""What a plan tells a kernel: the extents of one problem, its strides in elements, and the sizes of the blocks.

Letters as in fastconv/problem.py; C and K count the channels of one group. One- and two-dimensional problems have
extent 1, stride 1, dilation 1 and no padding along the axes that they lack.
"""

cdef enum:
    ZEROS, REFLECT, SYMMETRIC, REPLICATE, CIRCULAR      # in the order of problem.PADDING_MODES

cdef struct Geometry:
    Py_ssize_t N, G, C, K, D, H, W, T, R, S, O, P, Q
    Py_ssize_t stride_d, stride_h, stride_w, dilation_d, dilation_h, dilation_w
    Py_ssize_t pad_d, pad_h, pad_w                      # before the first pixel
    Py_ssize_t padding_mode, channels_last
    Py_ssize_t x_n, x_c, x_d, x_h, x_w                  # input strides: taken from the array, not from the plan
    Py_ssize_t y_n, y_k, y_q                            # output strides; q runs over all O * P * Q pixels
    Py_ssize_t activation                               # in the order of problem.ACTIVATIONS
    Py_ssize_t watch                                    # somebody wants to know whether a sum was NaN or infinite
    Py_ssize_t past_caches                              # y does not stay in a cache: it may be stored past them
    Py_ssize_t far                                      # x and y lie beyond L2: lines are fetched before they are stored to
    double low, high                                    # bounds of a clip (ReLU: 0, infinity); low: slope of a leaky ReLU
    Py_ssize_t chunk                                    # input channels of a panel; staged, grouped: columns; depthwise: slices
    Py_ssize_t panels                                   # im2col_pixels: how many panels are held at a time
    Py_ssize_t pixel_block, channel_block               # output pixels and channels that one task computes
    Py_ssize_t packed                                   # weights come packed once, not as (K, C, T, R, S)
    Py_ssize_t in_place                                 # x is read where it lies (1x1 in place; depthwise); winograd: panels are
    Py_ssize_t row_runs                                 # im2col: pointers to rows of a window; depthwise: rows on the lanes
    Py_ssize_t bands, segments                          # im2col_channels: pixels that no tile joins; fastconv/tiles.py ...
    Py_ssize_t tile_rows                                # ... of which a tile joins at most so many
    Py_ssize_t tiles_first                              # ... and a tile meets all panels of weights before the next does
    Py_ssize_t alpha_h, alpha_w                         # winograd, fft: length of the transforms, 1 along an axis without
    Py_ssize_t workspace                                # bytes that each thread may use
    Py_ssize_t shared                                   # bytes that all threads use together
    Py_ssize_t offset_groups                            # deform: parts of the channels that have offsets of their own
    Py_ssize_t tile_h, tile_w                           # fft: outputs of a tile
    Py_ssize_t tile_lanes                               # fft: tiles on the lanes, not channels
    Py_ssize_t parts                                    # sums are combined (micro/combine.pxd): parts of a panel; else 0
    Py_ssize_t gated                                    # ... features and gates
    Py_ssize_t scales                                   # ... or are scaled: planes of scales, one or one for each group
    Py_ssize_t y_channels                               # ... output channels of one group
    Py_ssize_t up_d, up_h, up_w, cut_d, cut_h, cut_w    # ... or phases: outputs between two sums, and cut off before
    Py_ssize_t full_d, full_h, full_w                   # ... extents of the output that they make


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Py_ssize_t padded(Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    return (n + unit - 1) // unit * unit


cdef inline char* place(char** free, Py_ssize_t size) noexcept nogil:
    """The next `size` bytes of a workspace, from a whole cache line on; on NULL it only counts."""
    cdef char* at = free[0]
    free[0] = at + padded(size, 64)
    return at


cdef inline Py_ssize_t border_index(Py_ssize_t mode, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """The pixel of 0 .. n-1 that stands at position i of a padded axis; -1: none, the padding is zeros."""
    if 0 <= i < n:
        return i
    if mode == ZEROS:
        return -1
    if mode == REPLICATE or n == 1:
        return 0 if i < 0 else n - 1
    cdef Py_ssize_t period = n if mode == CIRCULAR else 2 * n if mode == SYMMETRIC else 2 * n - 2
    i %= period
    if i < 0:
        i += period
    if i < n:
        return i
    return period - 1 - i if mode == SYMMETRIC else period - i

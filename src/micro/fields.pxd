"""What a plan tells the kernels of operations without weights: one struct for each family, its fields by name.

Letters as in fastconv/problem.py. One- and two-dimensional problems have extent 1, stride 1 and no padding along the
axes that they lack. src/call.pyx packs these structs, for all builds alike: every field has 8 bytes.
"""

cdef struct Pool:
    Py_ssize_t N, C, D, H, W, T, R, S, O, P, Q
    Py_ssize_t stride_d, stride_h, stride_w, dilation_d, dilation_h, dilation_w
    Py_ssize_t pad_d, pad_h, pad_w
    Py_ssize_t adaptive_d, adaptive_h, adaptive_w       # windows floor(i n / m) .. ceil((i + 1) n / m)
    Py_ssize_t channels_last
    Py_ssize_t largest                                  # the largest number of a window; else the mean
    Py_ssize_t include_pad                              # a mean divides by the pixels of its window, padding included
    Py_ssize_t divisor                                  # by this number instead, unless it is 0
    Py_ssize_t integers                                 # numbers are 64-bit integers (pool_direct alone)
    Py_ssize_t rows                                     # of windows, or planes, that one task computes
    Py_ssize_t columns, channels                        # pool_windows: columns of windows, and channels, of a task
    Py_ssize_t lines                                    # that are filled before any is read: fresh stores are slow to load
    Py_ssize_t herk                                     # pool_windows: rows are joined as van Herk, Gil and Werman do

cdef struct Scatter:
    Py_ssize_t N, C, pixels, places, channels_last      # pixels of a plane of x, places of a plane of y

cdef struct Fold:
    Py_ssize_t M, H, W, R, S, P, Q, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w

cdef struct Sample:
    Py_ssize_t N, C, D, H, W, pixels, axes, mode, padding, align_corners, channels_last

cdef struct Regions:
    Py_ssize_t N, C, H, W, K, PH, PW
    Py_ssize_t pixels           # bins are whole pixels, not samples
    Py_ssize_t largest          # the largest number, not the mean
    Py_ssize_t by_position      # every bin reads its own channels
    Py_ssize_t inclusive        # a box of pixels holds the pixel at its end
    Py_ssize_t open             # the last row and column are left out
    Py_ssize_t at_least_one     # a box is at least one pixel wide
    Py_ssize_t samples          # of a bin along each axis; 0: as many as it has pixels
    Py_ssize_t channels_last
    Py_ssize_t channels         # of a block
    Py_ssize_t shares           # of the boxes, one for each task
    Py_ssize_t whole            # images are turned as a whole, not what a box covers
    Py_ssize_t room             # numbers of turned pixels
    double scale, shift, gamma

cdef struct Resample:
    Py_ssize_t M, D, H, W, C, O, P, Q
    Py_ssize_t taps_d, taps_h, taps_w
    Py_ssize_t way, rows, c_block                   # rows, channels of a task
    Py_ssize_t blocks, block                        # how many blocks of columns, and where they are told (Block)
    Py_ssize_t first_d, weight_d, first_h, weight_h    # tables: where they begin behind this struct, in bytes
    Py_ssize_t first_w, weight_w                    # along, channels: first pixel of a window; (Q, padded taps)
    Py_ssize_t base, kind, at                       # across, picked: first number, kind and lanes of each vector
    Py_ssize_t workspace
    Py_ssize_t past                                 # y does not stay in a cache: it may be stored past them

cdef struct Masking:
    Py_ssize_t N, C, G, pixels, channels_last
    Py_ssize_t single           # one mask for all channels
    Py_ssize_t whole            # numbers of a window, coverage
    Py_ssize_t parts            # tasks

cdef struct Peak:
    double seconds
    Py_ssize_t nbytes           # of each buffer that is copied; 0: multiply-adds are measured, in registers
    Py_ssize_t threads

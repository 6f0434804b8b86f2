// The kernels for the instruction set that the compiler was told; FEDSPIKE_ISA names it.
#include <omp.h>

#include "adam.hpp"
#include "conventional.hpp"
#include "dense.hpp"
#include "encode.hpp"
#include "normalised.hpp"
#include "spiking.hpp"
#include "stdp.hpp"

#define NAMED(isa) kernels_##isa
#define EXPAND(isa) NAMED(isa)

namespace fedspike {
extern const Kernels EXPAND(FEDSPIKE_ISA) = {encode,     fire,         fire_adjoint, average, average_adjoint, spiking,
                                             normalised, conventional, compete,      adam};
}

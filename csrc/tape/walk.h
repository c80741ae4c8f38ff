// The way back: one pass from results to leaves, in reverse of the order in which nodes were made.
#pragma once
#include "tape/object.h"

namespace pullback::tape {

extern PyMethodDef walk_method;

}  // namespace pullback::tape

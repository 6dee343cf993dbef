#include "weights/weights_error.h"

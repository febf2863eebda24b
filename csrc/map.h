/* map.h - a region file in this process's memory. Layer 4. */
#ifndef IDEM_MAP_H
#define IDEM_MAP_H

#include "file.h"
#include "region.h"

/* Maps `file`, sets the region's pointers and geometry. Takes nothing over: the fd stays the caller's. */
int idem__map(struct idem__region *region, const struct idem__file *file, const char *name);
void idem__unmap(struct idem__region *region);

#endif

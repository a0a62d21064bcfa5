/* The zygote's free memory, used up so that what its guests make lies close together. */
#ifndef BELLJAR_GUEST_COMPACT_H
#define BELLJAR_GUEST_COMPACT_H

void compact_objects(void);
void compact_heap(void);

#endif

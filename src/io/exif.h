/* What of EXIF matters to pixels: which way up a picture is (Exif 2.3, JEITA CP-3451C, 4.6.4). */
#ifndef ATH_IO_EXIF_H
#define ATH_IO_EXIF_H
#include "io/picture.h"

/* The orientation, 1 to 8, that EXIF's TIFF file says; 0 where it says none or is damaged. It follows "Exif\0\0" in a
 * JPEG's APP1 segment and is all of a PNG's eXIf chunk. */
int ath_exif_orientation(const uint8_t *tiff, size_t size);

/* Turns a picture that was stored so upright; 0 and 1 are. Fails with ATH_E_MEM, the picture as it was. */
ath_status ath_exif_turn(ath_picture *p, int orientation, const char *path, ath_err *err);

#endif

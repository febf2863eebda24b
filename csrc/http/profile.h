/* profile.h - the documented APIs' behaviour, as data. Layer 16. */
#ifndef IDEM_HTTP_PROFILE_H
#define IDEM_HTTP_PROFILE_H

/* What holds for every profile unless it says otherwise: a JSON object that has every field. */
extern const char idem__profile_base[];

/* The JSON object of a profile's own fields; NULL: there is none of this name. */
const char *idem__profile(const char *name);
/* All names, for a message. */
extern const char idem__profile_names[];

#endif

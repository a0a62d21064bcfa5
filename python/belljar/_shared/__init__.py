"""What the host and the guest both know, once: the build puts these modules into the guest's text as well (scripts/bundle-guest).

A module here imports what every fresh interpreter has, or others of these."""

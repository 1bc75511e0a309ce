// Placeholder so that the library builds.

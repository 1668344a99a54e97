/** Styles that the build takes into one file. */
declare module '*.css' {}

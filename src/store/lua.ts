import { readFileSync } from 'node:fs'

/**
 * Returns the text of a script in `lua/`. A build replaces this file with the texts (infra/build/bundle.ts), since a bundle has no files
 * beside it and some runtimes have no files at all.
 */
export const readLua = (name: string): string => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')

import { readFileSync } from 'node:fs'

/**
 * The text of a script in `lua/`. A bundle has the texts in this file's place, since it has no files beside it and not every
 * runtime has files: infra/build/bundle.ts
 */
export const readLua = (name: string): string => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')

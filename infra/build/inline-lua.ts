import type { Plugin } from 'esbuild'
import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** The modules that read Lua scripts from the folder `lua` beside them, below `src`. */
export const LUA_READERS = ['store/lua', 'relay/redis/lua'] as const

/** A module in the place of such a one: it holds the scripts. Without comments: functions send them to the database. @param file its path */
export function formatLua(file: string): string {
  const texts = globSync(join(dirname(file), 'lua/*.lua'))
    .toSorted()
    .map((path) => [basename(path, '.lua'), readFileSync(path, 'utf8').replace(/^ *--.*\n/gm, '')])
  return `const scripts = ${JSON.stringify(Object.fromEntries(texts), null, 1)}\nexport const readLua = (name) => scripts[name]\n`
}

/** Puts the scripts into a bundle, which has no files beside it. */
export const inlineLua: Plugin = {
  name: 'inline-lua',
  setup(build) {
    build.onLoad({ filter: /\/src\/(?:store|relay\/redis)\/lua\.ts$/ }, ({ path }) => ({
      contents: formatLua(path),
      loader: 'js',
    }))
  },
}

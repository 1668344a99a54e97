import type { Plugin } from 'esbuild'
import { formatRoutes, OTHER, RELAY_TYPE, type Route } from '../../src/protocol/index.ts'

/** Those that files of `functions/` declare. */
const declaredOf = (routes: readonly Route[]): readonly Route[] =>
  routes.filter(({ type }) => type !== RELAY_TYPE && type !== OTHER.type)

/** The route table in a file, for `ENIGMA_ROUTES`. */
export const formatTable = (routes: readonly Route[]): string => formatRoutes(declaredOf(routes))

/** Puts the route table into a bundle: beside it there is no `functions/` to read it from. */
export function inlineRoutes(routes: readonly Route[]): Plugin {
  return {
    name: 'inline-routes',
    setup(build) {
      build.onLoad({ filter: /\/src\/lambda\/declarations\.ts$/ }, () => ({
        contents: `import { createRoutes } from '../protocol/index.ts'
export const readOwnRoutes = () => Promise.resolve(createRoutes(${formatTable(routes)}))`,
        loader: 'js',
      }))
    },
  }
}

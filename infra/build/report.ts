import type { Metafile } from 'esbuild'

/** What a bundle is made of: a package, or a room of ours. */
function partOf(input: string): string {
  const ofPackage = /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(input)?.[1]
  if (ofPackage !== undefined) return ofPackage
  const [first = input, second] = input.replace(/^[a-z-]+:/, '').split('/')
  return first === 'src' && second !== undefined ? `src/${second}` : first
}

const toKilobytes = (bytes: number): string => (bytes / 1000).toFixed(1)

/** A line for each bundle: its size and its three largest inputs, in kB (1,000 bytes). */
export function formatReport(metafile: Metafile): string {
  const rows = Object.entries(metafile.outputs)
    .filter(([file]) => file.endsWith('.mjs'))
    .map(([file, { bytes, inputs }]) => {
      const parts = new Map<string, number>()
      for (const [input, { bytesInOutput }] of Object.entries(inputs))
        parts.set(partOf(input), (parts.get(partOf(input)) ?? 0) + bytesInOutput)
      const largest = [...parts]
        .toSorted(([, a], [, b]) => b - a)
        .slice(0, 3)
        .map(([name, size]) => `${name} ${toKilobytes(size)}`)
      return {
        name: file.replace(/^dist\/(functions\/)?/, '').replace(/\/index\.mjs$/, ''),
        size: toKilobytes(bytes),
        largest: largest.join(', '),
      }
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const width = Math.max('bundle'.length, ...rows.map(({ name }) => name.length))
  const header = `${'bundle'.padEnd(width)}       kB  largest inputs, kB`
  return [
    header,
    ...rows.map(({ name, size, largest }) => `${name.padEnd(width)}  ${size.padStart(7)}  ${largest}`),
  ].join('\n')
}

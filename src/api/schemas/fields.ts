import * as v from 'valibot'

/**
 * The shape of the API's answers. These schemas are apart from those of the dialler's payloads: a payload is read with tolerance,
 * an answer is a promise.
 */

/** Text with words on what it is. */
export const text = (description: string) => v.pipe(v.string(), v.description(description))

/** Text that the dialler may not have sent. */
export const maybeText = (description: string) => v.pipe(v.nullable(v.string()), v.description(description))

/** A moment. */
export const time = (description: string) =>
  v.pipe(v.string(), v.isoTimestamp(), v.description(`${description} ISO 8601, UTC.`))

/** A number of things. */
export const count = (description: string) => v.pipe(v.number(), v.integer(), v.minValue(0), v.description(description))

export const source = text('The id of the source, as named in ENIGMA_SOURCES.')
export const campaignRef = maybeText('The campaign; null if the dialler names none.')

/** A page of a list. */
export const pageOf = <Item extends v.GenericSchema>(item: Item) =>
  v.object({
    items: v.array(item),
    next: v.pipe(v.nullable(v.string()), v.description('The `cursor` of the next page; null at the end.')),
  })

/** The time in ms on a clock that all processes of a machine share and nobody sets: what is published in one and arrives in another. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

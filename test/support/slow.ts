/**
 * What takes minutes, and is not in `npm test` but in `npm run proofs`: most of what needs a browser, the documents followed in a clone, packages that are
 * installed, and hundreds of faults and kills at random.
 */
export const SLOW = [
  'test/proofs/*.test.ts',
  'test/console/{cdrs,health,parked,wall}.test.ts',
  'test/flows/{documents,fuzz,random-kills,redis-faults}.test.ts',
  'test/infra/{deploy,package}.test.ts',
]

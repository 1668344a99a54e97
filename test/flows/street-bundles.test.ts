import { usePackaged } from '../support/packaged.ts'
import { testStreet } from '../support/street-flow.ts'

// The bundles that would be deployed, in processes of their own, with the variables that the template gives them.
const { folder } = await usePackaged()
await testStreet({ bundles: true, packaged: folder })

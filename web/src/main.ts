import { bootstrapApplication } from '@angular/platform-browser';

import { App } from './app/app';
import { config } from './app/app.config';
import { letOwnWorkersPass } from './app/trusted';

letOwnWorkersPass();
// The hub says where it is as seen from the page that was asked for; from here on that is one place.
for (const base of document.querySelectorAll('base')) base.href = document.baseURI;
bootstrapApplication(App, config).catch((error: unknown) => console.error(error));

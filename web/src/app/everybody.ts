/** The pages that everybody comes to, in one file: whoever opens one has them all, in one request. */
export { AccountPage } from './account/account-page';
export { EmailPage } from './account/email-page';
export { ForgottenPage } from './account/forgotten-page';
export { PasswordPage } from './account/password-page';
export { SignInPage } from './account/sign-in-page';
export { SignUpPage } from './account/sign-up-page';
export { HomePage } from './home/home-page';
export { ModelPage } from './model/model-page';
export { ComparePage } from './requests/compare-page';
export { RequestPage } from './requests/request-page';
export { RequestsPage } from './requests/requests-page';
export { ForbiddenPage } from './shell/forbidden-page';
export { NotFoundPage } from './shell/not-found-page';

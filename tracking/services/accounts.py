"""Users, their credentials and their API keys: every write of them goes through here."""

from datetime import timedelta
from functools import cache

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import update_last_login
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from automl_site import rates
from automl_site.errors import Conflict, Forbidden, InvalidSpec, RateLimited, Unauthenticated
from tracking import access
from tracking.models import ApiKey, User
from tracking.selectors.accounts import api_keys_of, user_by_login
from tracking.tokens import issue_tokens, new_api_key, user_of_refresh_token

API_KEY_NAME = "API key"


def local_user() -> User:
    """The user who stands for anonymous callers in open mode, made when first needed. Nobody can sign in as it."""
    name = settings.OPEN_USERNAME
    user = User.objects.filter(username=name).first()
    if user is None:
        try:
            with transaction.atomic():
                user = User.objects.create_user(name, email=f"{name}@localhost", password=None)
        except IntegrityError:  # another request was first
            user = User.objects.get(username=name)
    return user


def user_register(*, username: str, email: str, password: str) -> User:
    """A new account, by the person who will use it.

    Raises Forbidden where registration is closed, and InvalidSpec by field: a name or address that is taken (in any
    case) or malformed, a password that the operator's validators refuse.
    """
    if not settings.REGISTRATION_OPEN:
        raise Forbidden("Registration is closed; ask the operator of this site for an account.")
    return user_create(username=username, email=email, password=password)


def user_create(*, username: str, email: str, password: str, is_operator: bool = False) -> User:
    """An account, whoever makes it. Raises InvalidSpec as `user_register` does."""
    user = User(
        username=User.normalize_username(username.strip()),
        email=User.objects.normalize_email(email.strip()),
        is_staff=is_operator,
        is_superuser=is_operator,
    )
    errors = _identity_errors(user)
    try:
        check_new_password(password, user=user)
    except InvalidSpec as error:
        errors["password"] = error.errors["password"]
    if errors:
        raise InvalidSpec(errors=errors)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:  # two registrations of one name at the same time: the constraint decides
        raise InvalidSpec(
            errors={"username": ["A user with that username or e-mail address already exists."]}
        ) from None
    return user


def _identity_errors(user: User) -> dict[str, list[str]]:
    """What speaks against the name and the address of a user that is about to be saved, by field."""
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        # Nothing is looked up by a name that may not be one (a NUL in it would fail in PostgreSQL).
        return error.message_dict
    errors: dict[str, list[str]] = {}
    others = User.objects.exclude(pk=user.pk)
    # One signs in by either, so neither may be the other of somebody else.
    if user.username.lower() == settings.OPEN_USERNAME:
        errors["username"] = [f"The name '{user.username}' is reserved; choose another one."]
    elif others.filter(Q(username__iexact=user.username) | Q(email__iexact=user.username)).exists():
        errors["username"] = ["A user with that username already exists."]
    if others.filter(Q(email__iexact=user.email) | Q(username__iexact=user.email)).exists():
        errors["email"] = ["A user with that e-mail address already exists."]
    return errors


def identity_check(*, user: User) -> None:
    """Raises InvalidSpec by field for a name or an address that `user`, not saved yet, may not have."""
    errors = _identity_errors(user)
    if errors:
        raise InvalidSpec(errors=errors)


def profile_update(*, user: User, first_name: str, last_name: str, email: str) -> None:
    """Change one's own names and e-mail address. Raises InvalidSpec by field."""
    changed = User.objects.get(pk=user.pk)
    changed.first_name, changed.last_name = first_name.strip(), last_name.strip()
    changed.email = User.objects.normalize_email(email.strip())
    errors = _identity_errors(changed)
    errors.pop("username", None)  # it is not what changes
    if errors:
        raise InvalidSpec(errors=errors)
    try:
        with transaction.atomic():
            changed.save(update_fields=["first_name", "last_name", "email", "updated_at"])
    except IntegrityError:  # somebody else took the address at the same time
        raise InvalidSpec(errors={"email": ["A user with that e-mail address already exists."]}) from None


def operator_create(*, username: str, password: str) -> User:
    """A superuser, for the first start of an installation.

    An existing user of that name becomes one, with this password.
    """
    existing = User.objects.filter(username__iexact=username).first()
    if existing is None:
        return user_create(
            username=username, email=f"{username}@localhost.localdomain", password=password, is_operator=True
        )
    existing.is_active = existing.is_staff = existing.is_superuser = True
    existing.set_password(password)
    existing.save()
    return existing


def check_new_password(password: str, *, user: User | None = None) -> None:
    """Raises InvalidSpec for `password` where the operator's validators refuse it."""
    if "\0" in password:
        raise InvalidSpec(errors={"password": ["A password must not contain NUL characters."]})
    if len(password) > 1024:
        raise InvalidSpec(errors={"password": ["A password has at most 1024 characters."]})
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidSpec(errors={"password": error.messages}) from None


@cache
def _hash_of_nothing(hasher: str) -> str:
    return make_password("no user has this password")


def credentials_check(*, username: str, password: str, address: str) -> User:
    """The user with this username (or e-mail address) and password.

    Takes as long for a name that does not exist. Failed attempts are counted per name and per address. Raises
    RateLimited after too many of them, and Unauthenticated, which does not say what was wrong.
    """
    limits = (
        rates.limit_for("login", f"name:{username.strip().lower()}"),
        rates.limit_for("login_address", f"address:{address}"),
    )
    # Counted before the check and taken back after a success, so that many attempts at once cannot all slip through.
    over = [usage for usage in rates.hit(*limits) if usage.exceeded]
    if over:
        raise RateLimited(
            "Too many failed attempts to sign in; try again later.", retry_after=max(u.retry_after for u in over)
        )
    user = user_by_login(username.strip()) if "\0" not in username else None
    if user is None or not user.has_usable_password():
        check_password(password[:4096], _hash_of_nothing(settings.PASSWORD_HASHERS[0]))
        raise Unauthenticated()
    # It also renews a hash that an older hasher made.
    if not user.check_password(password[:4096]) or not user.is_active:
        raise Unauthenticated()
    rates.undo(*limits)
    return user


def tokens_issue(*, user: User) -> tuple[str, str]:
    """(access token, refresh token), after a sign-in."""
    update_last_login(None, user)  # type: ignore[arg-type]
    return issue_tokens(user)


def tokens_refresh(*, refresh_token: str) -> tuple[str, str]:
    """A new pair for a refresh token. Raises Unauthenticated when it is wrong, expired, or older than the password."""
    user = user_of_refresh_token(refresh_token)
    if user is None:
        raise Unauthenticated()
    return issue_tokens(user)


def password_change(*, user: User, current: str, new: str) -> None:
    """Change one's own password.

    It ends every JWT and every other session. Raises InvalidSpec by field (`current`, `password`).
    """
    if not user.check_password(current):
        raise InvalidSpec(errors={"current": ["This is not your present password."]})
    password_set(user=user, new=new)


def password_set(*, user: User, new: str) -> None:
    """Set a password (after a reset by mail, or by an operator). Raises InvalidSpec for `password`."""
    check_new_password(new, user=user)
    user.set_password(new)
    user.save(update_fields=["password", "updated_at"])
    access.forget_on_commit()


@transaction.atomic
def api_key_create(*, owner: User, name: str = API_KEY_NAME, days: int | None = None) -> tuple[ApiKey, str]:
    """A new key and its secret, which is shown this once and cannot be found out later.

    `days` until it ends; the operator's default if None. Raises InvalidSpec for a name or a lifetime out of bounds, and
    Conflict when the user has as many live keys as the operator allows.
    """
    name = name.strip() or API_KEY_NAME
    lifetime = settings.API_KEY_LIFETIME_DAYS if days is None else days
    errors = {}
    if len(name) > 100 or "\0" in name:
        errors["name"] = ["A key's name has at most 100 characters."]
    if not 1 <= lifetime <= 3650:
        errors["days"] = [f"A key lives 1 to 3650 days; this says {lifetime}."]
    if errors:
        raise InvalidSpec(errors=errors)
    User.objects.select_for_update().get(pk=owner.pk)  # two at once are counted one after the other
    live = api_keys_of(owner).count()
    if live >= settings.API_KEYS_PER_USER:
        raise Conflict(
            f"You have {live} live API keys; {settings.API_KEYS_PER_USER} is the most one may have. Revoke one first."
        )
    secret, prefix, digest = new_api_key()
    key = ApiKey.objects.create(
        owner=owner, name=name, prefix=prefix, digest=digest, expires_at=timezone.now() + timedelta(days=lifetime)
    )
    return key, secret


def api_key_revoke(*, key: ApiKey) -> None:
    """End a key at once; one that has been revoked already keeps its time."""
    ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())
    access.forget_on_commit()
    key.refresh_from_db()


def user_deactivate(*, user: User) -> None:
    """Shut an account out: its sessions, JWTs and API keys are refused from now on. Its things stay."""
    User.objects.filter(pk=user.pk, is_active=True).update(is_active=False, updated_at=timezone.now())
    access.forget_on_commit()
    user.is_active = False


def user_activate(*, user: User) -> None:
    """Let an account in again, with the keys that have not been revoked."""
    User.objects.filter(pk=user.pk, is_active=False).update(is_active=True, updated_at=timezone.now())
    user.is_active = True

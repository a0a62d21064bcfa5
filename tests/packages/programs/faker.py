from faker import Faker

Faker.seed(1)
fake = Faker()
print(fake.name(), "|", fake.email(), "|", Faker("de_DE").city() != "")
